package simulation

import (
	"maps"
	"math/rand/v2"
	"slices"
)

// story is what people want in one run, and what goes wrong by itself.
type story struct {
	name string
	// image that the release brings. Where sickIn is given it is sick in that member only.
	image        string
	sick, broken bool
	sickIn       string
	// cuts, flaps and jumps may happen.
	cuts, flaps, jumps bool
	// rival is a second release of the same workloads.
	rival bool
	// act is done once, after a number of steps of the release.
	act      string
	actAfter int
	reject   bool
	// hands are what people do while the release is on, or after it.
	hands []*hand
	// stands adds stages that move nothing: Soak, Check and Window. carries has the last members reached by a ClusterHop that runs a pipeline for each.
	stands, carries bool
	// convoy is a release that does nothing but carry a pipeline over all members, of whom a tenth may fail.
	convoy bool
	// noFinally leaves out the pipeline's own rollback; onEnd has the hub take back what was touched instead.
	noFinally, onEnd bool
	// law is what the platform's policies give and demand.
	law law
	// members there are; of those in dead none ever answers, and in those in bad the new image cannot be pulled until it is mended.
	members   []string
	dead, bad []string
	replicas  map[string]int32
	// faulty is how many steps things break; then the release must come to its end, within most.
	faulty, most int
	// sparse is store.Options.Sparse.
	sparse uint64
	// limit is the target's maxUnavailable.
	limit int32
	// cafe, if not nil, has the application in CafeDeployments.
	cafe *cafeStory
	// sidecars, if not nil, are put into the application's pods.
	sidecars *sidecarStory
	// alone, if not nil, is a world of sets: there is no release in it.
	alone *setStory
}

// The ways in which a release is cut off.
const (
	actCancel       = "cancel"
	actCancelFinal  = "cancel, run finally"
	actDeleteRun    = "delete the PipelineRun"
	actDeleteStage  = "delete a CustomRun"
	actEditTemplate = "somebody else changes a template"
)

const (
	imageOld    = "shop/web:v1"
	imageNew    = "shop/web:v2"
	imageSick   = "shop/web:v2-sick"
	imageBroken = "shop/web:v2-broken"
	imageRival  = "shop/web:v3"
)

// law is what ReleasePolicies say to the namespace.
type law string

const (
	// lawOpen gives all members and demands nothing.
	lawOpen law = ""
	// lawDemands gives all members, and demands guards, canaries that bake, and a yes before the last two.
	lawDemands law = "policies demand what the run has"
	// lawLacking is the same for a run that asks nobody.
	lawLacking law = "the run lacks what policies demand"
	// lawPart does not give the last member.
	lawPart law = "policies give two members of three"
)

// demands says whether the law wants a yes before anything moves in a member.
func (l law) demands(member string) bool {
	return (l == lawDemands || l == lawLacking) && member != "m1"
}

// gives says whether the law gives a member.
func (l law) gives(member string) bool { return l != lawPart || member != "m3" }

// tell makes up the story of a seed. A quarter of them have SidecarSets.
func tell(r *rand.Rand) *story {
	s := tellApplication(r)
	if n := r.IntN(8); n == 0 || n < 4 && s.alone != nil {
		tellSidecars(r, s)
	}
	return s
}

func tellApplication(r *rand.Rand) *story {
	if r.IntN(3) == 0 {
		if r.IntN(4) == 0 {
			return tellCafeAlone(r)
		}
		return tellSets(r)
	}
	s := &story{
		members: []string{"m1", "m2", "m3"}, faulty: faultySteps, most: mostSteps,
		name: "a release", image: imageNew, limit: 1 + r.Int32N(2), replicas: map[string]int32{"dca": 2 + r.Int32N(2), "dcb": 1 + r.Int32N(2)},
		cuts: r.IntN(3) == 0, flaps: r.IntN(3) == 0, jumps: r.IntN(5) == 0,
	}
	do := func(h *hand) { s.hands = append(s.hands, h) }
	switch n := r.IntN(100); {
	case n < 14:
	case n < 22:
		s.name, s.image, s.sick = "pods of the new image restart", imageSick, true
	case n < 27:
		s.name, s.image, s.broken = "the new image cannot be pulled", imageBroken, true
	case n < 33:
		s.name, s.rival = "a second release of the same workloads", true
	case n < 36:
		s.name, s.reject = "somebody says no", true
	case n < 50:
		acts := []string{actCancel, actCancelFinal, actDeleteRun, actDeleteStage, actEditTemplate}
		s.act = acts[r.IntN(len(acts))]
		s.name, s.actAfter = s.act, r.IntN(1200)
	case n < 58:
		s.name = "people hold the release"
		for range 1 + r.IntN(3) {
			do(aHold(r))
		}
	case n < 62:
		s.name = "somebody skips a stage"
		do(&hand{does: doSkip, at: r.IntN(1000)})
	case n < 67:
		s.name = "somebody aborts the release"
		s.noFinally = r.IntN(2) == 0
		do(&hand{does: doAbort, at: r.IntN(1200)})
	case n < 74:
		s.name, s.noFinally = "a release that failed is retried", true
		switch r.IntN(4) {
		case 0:
			s.image, s.broken = imageBroken, true
		case 1:
			s.reject = true
		case 2:
			do(&hand{does: doAbort, at: r.IntN(1400)})
		default:
			s.act, s.actAfter = []string{actCancel, actCancelFinal}[r.IntN(2)], r.IntN(1400)
		}
		do(&hand{does: doRetry, afterEnd: true})
	case n < 80:
		s.name = "somebody takes the release back"
		do(&hand{does: doRollback, at: r.IntN(1200), afterEnd: r.IntN(2) == 0})
		s.noFinally = r.IntN(3) == 0
	case n < 88:
		s.name, s.carries = "a ClusterHop carries a pipeline", true
		switch r.IntN(5) {
		case 0:
			s.image, s.sick, s.sickIn = imageSick, true, "m3"
		case 1:
			do(&hand{does: doSkipMember, at: r.IntN(1200)})
		case 2:
			s.act, s.actAfter = actCancelFinal, 300+r.IntN(1000)
		}
	case n < 93:
		s.law = []law{lawDemands, lawDemands, lawLacking, lawPart}[r.IntN(4)]
		s.name = string(s.law)
	case n < 97:
		s.name, s.onEnd = "the hub takes back what ended without its finally", true
		s.act, s.actAfter = []string{actCancel, actDeleteRun}[r.IntN(2)], r.IntN(1200)
	default:
		s.name = "the hub loses its records"
		do(&hand{does: doLose, at: 100 + r.IntN(1000)})
	}
	s.stands = r.IntN(5) == 0
	if r.IntN(7) == 0 {
		do(aHold(r))
	}
	if r.IntN(4) == 0 {
		tellCafe(r, s)
	}
	return s
}

// units that each member has, in their order.
func (s *story) units() []string { return slices.Sorted(maps.Keys(s.replicas)) }

// calm stories succeed: nothing in them may stop a release but for a while.
func (s *story) calm() bool {
	for _, h := range s.hands {
		if !h.holds() {
			return false
		}
	}
	return !s.sick && !s.broken && s.act == "" && !s.reject && !s.rival && (s.law == lawOpen || s.law == lawDemands) && s.quiet()
}

// quiet stories come to the end that is meant, good or bad: nothing breaks by itself in them that takes longer than a stage has patience for.
func (s *story) quiet() bool { return !s.cuts && !s.jumps }

// hopeless stories never succeed.
func (s *story) hopeless() bool {
	for _, h := range s.hands {
		if h.does == doRetry { // the cause is gone by then.
			return false
		}
	}
	return s.sick || s.broken || s.reject || s.law == lawLacking || s.law == lawPart
}
