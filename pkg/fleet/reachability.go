package fleet

import (
	"time"
)

// State says whether a member can be worked with.
type State string

// The states of a member.
const (
	// Unknown: this process has not found out yet, or has stopped looking because nobody works there.
	Unknown State = "Unknown"
	// Reachable: it answered the last heartbeat and nothing has failed since.
	Reachable State = "Reachable"
	// Unreachable: it does not answer, refuses our credentials, or we have none.
	Unreachable State = "Unreachable"
)

// Reason says why a member is in its state. The list is closed; the Member's condition Reachable carries the same words.
type Reason string

// The reasons.
const (
	// ReasonAnswering goes with Reachable.
	ReasonAnswering Reason = "Answering"
	// ReasonNotContacted goes with Unknown: no heartbeat has been answered or missed yet.
	ReasonNotContacted Reason = "NotContacted"
	// ReasonSecretUnreadable goes with Unknown: the hub did not give us the Secret, for a reason that says nothing of the member.
	ReasonSecretUnreadable Reason = "SecretUnreadable"
	// ReasonNotAnswering goes with Unreachable: no connection, no answer in time, or an API server that says it is not ready.
	ReasonNotAnswering Reason = "NotAnswering"
	// ReasonUnauthorized goes with Unreachable: the member refuses the credentials of the kubeconfig.
	ReasonUnauthorized Reason = "Unauthorized"
	// ReasonSecretNotFound goes with Unreachable: the Secret, or the key in it, does not exist.
	ReasonSecretNotFound Reason = "SecretNotFound"
	// ReasonWrongNamespace goes with Unreachable: the Member names a Secret outside the namespace we may read.
	ReasonWrongNamespace Reason = "WrongNamespace"
	// ReasonBadKubeconfig goes with Unreachable: the kubeconfig does not parse, is incomplete, or wants us to run or read something.
	ReasonBadKubeconfig Reason = "BadKubeconfig"
	// ReasonMemberNotFound goes with Unreachable: the Member was deleted while somebody worked on it.
	ReasonMemberNotFound Reason = "MemberNotFound"
)

// Reachability is what this process knows of one member.
type Reachability struct {
	State  State
	Reason Reason
	// Since is when the member came into this state.
	Since time.Time
	// Message says why, for people; it does not repeat the name of the member or the time.
	Message string
	// LastContact is when the member last answered anything; zero where it never did.
	LastContact time.Time
}

// Info is what stages may know of a member without opening it.
type Info struct {
	Name       string
	Labels     map[string]string
	Importance int32
	// Reachability as this process sees it: Unknown where no stage here works on the member.
	Reachability Reachability
	// Version of the member's API server, such as v1.36.3; as last written on the Member where this process has not asked.
	Version string
}
