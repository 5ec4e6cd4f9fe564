package metricsource

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"knative.dev/pkg/controller"

	fleetv1alpha1 "github.com/periplus-dev/periplus/pkg/apis/fleet/v1alpha1"
	typed "github.com/periplus-dev/periplus/pkg/client/clientset/versioned/typed/fleet/v1alpha1"
	listers "github.com/periplus-dev/periplus/pkg/client/listers/fleet/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/guard/source"
	"github.com/periplus-dev/periplus/pkg/guard/source/book"
)

// Reasons of the condition Answers.
const (
	// ReasonAnswering: every server answers.
	ReasonAnswering = "Answering"
	// ReasonNotAnswering: a server does not answer, or a Secret that it needs cannot be had.
	ReasonNotAnswering = "NotAnswering"
	// ReasonInvalidSpec: the spec cannot be followed.
	ReasonInvalidSpec = "InvalidSpec"
)

const (
	// wellInterval and illInterval are how long until a source that answers, or does not, is asked again.
	wellInterval = 5 * time.Minute
	illInterval  = 30 * time.Second
	// greatestMessage is the longest message written.
	greatestMessage = 1024
)

// prober asks the servers of a source. A *book.Book is one.
type prober interface {
	Probe(ctx context.Context, name string) ([]book.Probed, error)
}

type reconciler struct {
	prober  prober
	sources listers.MetricSourceLister
	client  typed.MetricSourceInterface
	clock   clock.PassiveClock
}

// reconcile asks one source and writes what came of it.
func (r *reconciler) reconcile(ctx context.Context, key types.NamespacedName) error {
	obj, err := r.sources.Get(key.Name)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("looking up MetricSource %q: %w", key.Name, err)
	}
	probed, err := r.prober.Probe(ctx, obj.Name)
	if errors.Is(err, source.ErrUnknown) {
		return nil
	}
	if ctx.Err() != nil {
		return fmt.Errorf("asking MetricSource %q: %w", obj.Name, ctx.Err())
	}
	answer := answerOf(probed, err)
	next := obj.DeepCopy()
	next.Status.ObservedGeneration = obj.Generation
	answer.ObservedGeneration, answer.LastTransitionTime = obj.Generation, metav1.NewTime(r.clock.Now())
	meta.SetStatusCondition(&next.Status.Conditions, answer)
	if !equality.Semantic.DeepEqual(obj.Status, next.Status) {
		if _, err := r.client.UpdateStatus(ctx, next, metav1.UpdateOptions{}); err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("writing the status of MetricSource %q: %w", obj.Name, err)
		}
	}
	if answer.Status == metav1.ConditionTrue {
		return controller.NewRequeueAfter(wellInterval)
	}
	return controller.NewRequeueAfter(illInterval)
}

// answerOf is the condition by what came of asking.
func answerOf(probed []book.Probed, err error) metav1.Condition {
	c := metav1.Condition{Type: fleetv1alpha1.ConditionAnswers, Status: metav1.ConditionTrue, Reason: ReasonAnswering}
	if err != nil {
		c.Status, c.Reason, c.Message = metav1.ConditionFalse, ReasonInvalidSpec, cut(err.Error())
		return c
	}
	var wrong []string
	for _, p := range probed {
		if p.Err != nil {
			wrong = append(wrong, p.Where+": "+p.Err.Error())
		}
	}
	switch {
	case len(wrong) > 0:
		c.Status, c.Reason, c.Message = metav1.ConditionFalse, ReasonNotAnswering, cut(fmt.Sprintf("%d of %s: %s", len(wrong), servers(len(probed)), strings.Join(wrong, "; ")))
		if len(probed) == 1 {
			c.Message = cut(wrong[0])
		}
	case len(probed) == 1:
		c.Message = "the server answers"
	default:
		c.Message = fmt.Sprintf("all %s answer", servers(len(probed)))
	}
	return c
}

func servers(n int) string { return fmt.Sprintf("%d servers", n) }

func cut(s string) string {
	if r := []rune(s); len(r) > greatestMessage {
		return string(r[:greatestMessage]) + "…"
	}
	return s
}
