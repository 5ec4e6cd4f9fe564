package stage

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
)

// groupCheckpoint begins the checkpoint before each group but the first.
const groupCheckpoint = "group-"

// Asked is a question with the answers that count.
type Asked struct{ *v1alpha1.Question }

// Ask puts a question in the run's status, under an ID of this attempt, and counts the answers there are. A run that asks several questions names the checkpoint
// of each in q.ID; one that asks a single one leaves it empty. An answer that once counted is kept in the status, so that nothing that is done to the Approval
// afterwards changes it.
func (r *Run) Ask(q v1alpha1.Question) Asked {
	checkpoint := q.ID
	q.ID = r.questionID(checkpoint)
	q.Initiator, q.Account = r.Initiator, r.Account
	if old := r.Status.Question; old != nil && old.ID == q.ID {
		q.Answers = old.Answers
	}
	for _, a := range r.Approvals {
		if slices.ContainsFunc(q.Answers, func(x v1alpha1.Answer) bool { return x.Approval == a.Name }) {
			continue
		}
		if checkpoint != "" && r.answersAnother(&q, a) {
			continue // it counted there, or is yet to.
		}
		if why := r.discount(&q, a); why != "" {
			q.Ignored = append(q.Ignored, fmt.Sprintf("%s by %s: %s", a.Name, a.Spec.User, why))
			continue
		}
		q.Answers = append(q.Answers, v1alpha1.Answer{
			Approval: a.Name, User: a.Spec.User, Groups: groupsAmong(q.Approvers, a.Spec.Groups), Decision: a.Spec.Decision, Message: a.Spec.Message, Time: a.CreationTimestamp,
		})
	}
	if len(q.Ignored) > 10 {
		q.Ignored = q.Ignored[len(q.Ignored)-10:]
	}
	r.Status.Question = &q
	return Asked{&q}
}

// questionID is the ID of a checkpoint's question in this attempt.
func (r *Run) questionID(checkpoint string) string {
	id := r.Task
	if checkpoint != "" {
		id += "-" + checkpoint
	}
	if r.Status.Attempt > 1 {
		id = fmt.Sprintf("%s-attempt-%d", id, r.Status.Attempt)
	}
	return id
}

// answersAnother says whether an answer is to another checkpoint of this attempt.
func (r *Run) answersAnother(q *v1alpha1.Question, a *v1alpha1.Approval) bool {
	if a.Spec.RunRef.UID != r.UID || a.Spec.Question == q.ID {
		return false
	}
	n, ok := strings.CutPrefix(a.Spec.Question, r.Task+"-"+groupCheckpoint)
	if r.Status.Attempt > 1 {
		n, ok = strings.CutSuffix(n, fmt.Sprintf("-attempt-%d", r.Status.Attempt))
	}
	_, err := strconv.Atoi(n)
	return ok && err == nil
}

// discount says why an answer does not count; empty when it does.
func (r *Run) discount(q *v1alpha1.Question, a *v1alpha1.Approval) string {
	s := &a.Spec
	switch {
	case s.RunRef.UID != r.UID:
		return "it answers another run of the same name"
	case s.Question != q.ID:
		return fmt.Sprintf("it answers question %q, asked is %q", s.Question, q.ID)
	case s.User == "":
		return "it does not say who answers"
	case q.ForbidInitiator && r.Initiator == "":
		return "it is not known who started the release"
	case q.ForbidInitiator && (s.User == r.Initiator || slices.Contains(r.starters(), s.User)):
		return "who started the release may not answer"
	case !MayAnswer(q.Approvers, s.User, s.Groups):
		return "is not among the approvers"
	case s.Decision == v1alpha1.Approve && slices.ContainsFunc(q.Answers, func(x v1alpha1.Answer) bool {
		return x.User == s.User && x.Decision == v1alpha1.Approve
	}):
		return "has answered already"
	}
	return ""
}

// MayAnswer says whether a person is among the approvers. Anybody is where none are named.
func MayAnswer(a v1alpha1.Approvers, user string, groups []string) bool {
	if len(a.Users) == 0 && len(a.Groups) == 0 {
		return true
	}
	return slices.Contains(a.Users, user) || slices.ContainsFunc(a.Groups, func(g string) bool { return slices.Contains(groups, g) })
}

// groupsAmong are those of a person's groups by which his answer counts.
func groupsAmong(a v1alpha1.Approvers, groups []string) []string {
	var out []string
	for _, g := range a.Groups {
		if slices.Contains(groups, g) {
			out = append(out, g)
		}
	}
	return out
}

// Confirmed asks people, at a checkpoint or, where that is empty, once for the whole run, and says what their answers come to: a wait, or the failure of a
// stage that was told no; nil once enough have said yes. about says in words what a yes lets begin.
func (r *Run) Confirmed(spec *v1alpha1.ConfirmSpec, checkpoint, about string) (yes, no []v1alpha1.Answer, out *Outcome) {
	q := r.Ask(v1alpha1.Question{
		ID: checkpoint, About: about, Message: spec.Message, Approvers: spec.Approvers, Required: spec.Required, ForbidInitiator: spec.ForbidInitiator,
	})
	if out := r.StarterHidden(spec, field.NewPath("spec")); out != nil {
		return nil, nil, out
	}
	if about != "" {
		about = ": " + about
	}
	yes, no = q.Tally()
	switch {
	case len(no) > 0:
		failed := Fail(ReasonRejected, fmt.Sprintf("rejected by %s%s%s", no[0].User, about, Said(no[0].Message)))
		return yes, no, &failed
	case len(yes) >= int(q.Required):
		return yes, nil, nil
	}
	wait := Wait(ReasonAwaitApproval, fmt.Sprintf("%d of %d approvals%s%s", len(yes), q.Required, about, Said(spec.Message)))
	wait.Who = q.Who()
	wait.Command = fmt.Sprintf("periplus confirm %s -n %s --message '...'", r.Root.Name, r.Namespace)
	return yes, nil, &wait
}

// StarterHidden fails a stage that keeps who started the release from answering, where it is not known who did; nil else. p is where the spec stands.
func (r *Run) StarterHidden(spec *v1alpha1.ConfirmSpec, p *field.Path) *Outcome {
	if !spec.ForbidInitiator || r.Initiator != "" {
		return nil
	}
	out := Fail(ReasonInitiatorHidden, p.Child("forbidInitiator").String()+" is set, and it is not known who started the release: "+
		"install the admission policies of config/hub, and start releases as PipelineRuns")
	return &out
}

// Said is what a person said, as the end of a sentence.
func Said(message string) string {
	if message == "" {
		return ""
	}
	return ": " + message
}

// Tally splits the answers that count into yes and no.
func (q Asked) Tally() (yes, no []v1alpha1.Answer) {
	for _, a := range q.Answers {
		if a.Decision == v1alpha1.Reject {
			no = append(no, a)
		} else {
			yes = append(yes, a)
		}
	}
	return yes, no
}

// Who may answer, in words.
func (q Asked) Who() string {
	var parts []string
	if len(q.Approvers.Users) > 0 {
		parts = append(parts, strings.Join(q.Approvers.Users, ", "))
	}
	if len(q.Approvers.Groups) > 0 {
		parts = append(parts, "anybody of "+strings.Join(q.Approvers.Groups, ", "))
	}
	who := strings.Join(parts, " or ")
	if who == "" {
		who = "anybody who may create approvals"
	}
	if q.ForbidInitiator {
		who += ", but not " + q.Initiator + " who started it"
		if q.Account != "" {
			who += " by " + q.Account
		}
	}
	return who
}
