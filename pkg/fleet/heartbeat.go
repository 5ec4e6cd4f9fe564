package fleet

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	fleetv1alpha1 "github.com/periplus-dev/periplus/pkg/apis/fleet/v1alpha1"
)

// versionInterval is how often a member that answers is asked for its version.
const versionInterval = 10 * time.Minute

// poke has the heart checked now. If a check is under way, another one follows it.
func (m *member) poke() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.over {
		return
	}
	m.unschedule()
	if m.beating {
		m.again = true
		return
	}
	m.beating = m.fleet.life.spawn(m.beat)
}

// beat checks the heart until nobody asks for another check.
func (m *member) beat() {
	for {
		m.mu.Lock()
		m.again = false
		before := view{conn: m.conn, source: m.source, version: m.version, reach: m.reach}
		suspicion := m.suspicion
		m.mu.Unlock()

		found := m.look(m.fleet.life.ctx, before)
		if !m.settle(found, suspicion) {
			return
		}
	}
}

// view is what a heartbeat starts from.
type view struct {
	conn    Connection
	source  source
	version serverVersion
	reach   Reachability
}

// finding is what a heartbeat found out.
type finding struct {
	view
	state    State
	reason   Reason
	message  string
	answered bool // the member said something, if only no
}

func (f finding) because(state State, reason Reason, format string, args ...any) finding {
	f.state, f.reason, f.message = state, reason, fmt.Sprintf(format, args...)
	return f
}

// withoutConnection is for findings after which the present credentials must not be used any more.
func (f finding) withoutConnection() finding {
	f.conn = nil
	f.source.hash = [32]byte{}
	return f
}

// look does all I/O of a heartbeat: the Member, its Secret when due, and the member itself. No lock is held.
func (m *member) look(ctx context.Context, before view) finding {
	f := finding{view: before}
	opts := m.fleet.opts
	obj, err := m.fleet.lookUp(m.name)
	if errors.Is(err, ErrUnknownMember) {
		f.source.ref = fleetv1alpha1.SecretKeyRef{}
		return f.withoutConnection().because(Unreachable, ReasonMemberNotFound, "the Member was deleted from the hub")
	}
	if err != nil {
		return f.because(Unknown, ReasonNotContacted, "%v", err)
	}
	ref, reason, err := secretRef(obj, opts.SecretNamespace)
	moved := ref != f.source.ref
	f.source.ref = ref
	if err != nil {
		return f.withoutConnection().because(Unreachable, reason, "%v", err)
	}
	now := opts.Clock.Now()
	if moved || f.conn == nil || f.reach.State != Reachable || now.Sub(f.source.read) >= opts.SecretInterval {
		f.source.read = now
		if next, ok := m.readSecret(ctx, f, moved); !ok {
			return next
		} else {
			f = next
		}
	}
	return m.ask(ctx, f, now)
}

// secretRef returns the reference with its defaults, and why it cannot be used.
func secretRef(obj *fleetv1alpha1.Member, namespace string) (fleetv1alpha1.SecretKeyRef, Reason, error) {
	if obj.Spec.KubeconfigSecretRef == nil {
		return fleetv1alpha1.SecretKeyRef{}, ReasonBadKubeconfig, errors.New("spec.kubeconfigSecretRef is empty; name a Secret with a kubeconfig")
	}
	ref := *obj.Spec.KubeconfigSecretRef
	if ref.Key == "" {
		ref.Key = "kubeconfig"
	}
	if ref.Namespace != namespace {
		return ref, ReasonWrongNamespace, fmt.Errorf("spec.kubeconfigSecretRef.namespace is %q, but Secrets are read from %q only; move Secret %q there",
			ref.Namespace, namespace, ref.Name)
	}
	return ref, "", nil
}

// readSecret takes up what the Secret says now. It returns false where that ends the heartbeat.
func (m *member) readSecret(ctx context.Context, f finding, moved bool) (finding, bool) {
	opts, ref := m.fleet.opts, f.source.ref
	ctx, cancel := context.WithTimeout(ctx, opts.CallTimeout)
	defer cancel()
	secret, err := opts.Hub.CoreV1().Secrets(ref.Namespace).Get(ctx, ref.Name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return f.withoutConnection().because(Unreachable, ReasonSecretNotFound, "Secret %s/%s does not exist on the hub", ref.Namespace, ref.Name), false
	case err != nil && f.conn != nil && !moved:
		// The hub's trouble says nothing of the member; what we have may well be right still.
		return f, true
	case err != nil:
		return f.withoutConnection().because(Unknown, ReasonSecretUnreadable, "reading Secret %s/%s from the hub: %s", ref.Namespace, ref.Name, plain(err)), false
	}
	kubeconfig, ok := secret.Data[ref.Key]
	if !ok || len(kubeconfig) == 0 {
		return f.withoutConnection().because(Unreachable, ReasonSecretNotFound, "Secret %s/%s has no data under the key %q", ref.Namespace, ref.Name, ref.Key), false
	}
	hash := sha256.Sum256(kubeconfig)
	if f.conn != nil && hash == f.source.hash {
		return f, true
	}
	conn, err := opts.Connect(kubeconfig)
	if err != nil {
		return f.withoutConnection().because(Unreachable, ReasonBadKubeconfig, "Secret %s/%s, key %q: %v", ref.Namespace, ref.Name, ref.Key, err), false
	}
	f.conn, f.source.hash, f.version = conn, hash, serverVersion{}
	return f, true
}

// ask asks the member itself.
func (m *member) ask(ctx context.Context, f finding, now time.Time) finding {
	limit := m.fleet.opts.HeartbeatTimeout
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err := f.conn.Ready(ctx)
	if err == nil && now.Sub(f.version.read) >= versionInterval {
		var name string
		if name, err = f.conn.Version(ctx); err == nil {
			f.version = serverVersion{name: name, read: now}
		}
	}
	switch {
	case apierrors.IsUnauthorized(err):
		f.answered = true
		return f.because(Unreachable, ReasonUnauthorized, "the member refuses the credentials of the kubeconfig (Unauthorized)")
	case errors.Is(err, context.DeadlineExceeded):
		return f.because(Unreachable, ReasonNotAnswering, "no answer within %s (%s)", limit, plain(err))
	case err != nil:
		return f.because(Unreachable, ReasonNotAnswering, "%s", plain(err))
	}
	f.answered = true
	return f.because(Reachable, ReasonAnswering, "the API server answers")
}

// settle takes up what a heartbeat found, and returns whether another one must follow at once.
func (m *member) settle(f finding, suspicion int) (again bool) {
	m.mu.Lock()
	if m.over {
		m.beating = false
		m.mu.Unlock()
		if f.conn != nil {
			f.conn.Cut()
		}
		return false
	}
	cleared := m.suspicion == suspicion
	was := m.reach.State
	old := m.conn
	m.source, m.version = f.source, f.version
	if f.answered {
		m.reach.LastContact = m.fleet.opts.Clock.Now()
	}
	if f.conn != old {
		m.stopInformers()
		m.cutCalls("the way to the member was changed during the call")
		m.conn, m.clients = f.conn, Clients{}
		if f.conn != nil {
			var err error
			if m.clients, err = f.conn.Clients(nil); err != nil {
				f = f.because(Unreachable, ReasonBadKubeconfig, "%v", err)
				m.conn, m.source.hash = nil, [32]byte{}
			}
		}
	}
	changed := false
	switch {
	case f.state != Reachable:
		changed = m.become(f.state, f.reason, f.message)
		m.stopInformers()
		m.cutCalls(f.message)
		m.misses++
	case cleared || f.conn != old:
		changed = m.become(f.state, f.reason, f.message)
		m.misses = 0
		m.startInformers(was != Reachable)
	default:
		// A call failed after this heartbeat was sent: only the next one can tell.
		m.again = true
	}
	sessions := m.everybody(changed)
	gone := f.reason == ReasonMemberNotFound
	again = m.again
	if !again {
		m.beating = false
		m.schedule()
	}
	resting := !m.worked()
	m.mu.Unlock()

	if old != nil && old != f.conn {
		old.Cut()
	}
	if f.conn != nil {
		switch {
		case f.state != Reachable:
			// What hangs is let go of, and the next heartbeat dials anew: the connection may be dead where the member is not.
			f.conn.Cut()
		case resting:
			f.conn.Rest()
		}
	}
	m.tell(true, sessions)
	if gone && !again {
		m.fleet.forget(m)
	}
	return again
}

// firstRetry is the time until the next heartbeat after one was missed; it doubles until it reaches the usual interval.
const firstRetry = time.Second

// schedule plans the next heartbeat, or stops where nobody needs one. m.mu is held.
func (m *member) schedule() {
	opts := m.fleet.opts
	var in time.Duration
	switch {
	case m.worked():
		in = opts.HeartbeatActive
	case opts.Clock.Now().Before(m.attendedUntil):
		in = opts.HeartbeatAtRest
	default:
		// What is known grows old from here on.
		m.become(Unknown, ReasonNotContacted, "nobody works on it")
		return
	}
	if m.misses > 0 && m.misses < 16 {
		in = min(in, firstRetry<<(m.misses-1))
	}
	in = time.Duration(float64(in) * (0.9 + 0.2*rand.Float64()))
	m.unschedule()
	m.timer = opts.Clock.AfterFunc(in, func() {
		// In a goroutine of its own: a fake clock calls this while it is locked.
		m.fleet.life.spawn(m.poke)
	})
}
