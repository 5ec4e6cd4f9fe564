package plan

// RevisionSet is one of the pod sets of a unit that has one for each revision, such as ReplicaSets.
type RevisionSet struct {
	Revision string
	// Told is how many pods it was told to keep, Pods how many there are that are not being deleted, Available how many of them are available.
	Told, Pods, Available int32
}

// available is how many stay available once it has no more pods than it was told: deletes that are not seen yet count.
func (s *RevisionSet) available() int32 { return min(s.Available, s.Told) }

// RevisionSetsState is one observation of a unit's pod sets.
type RevisionSetsState struct {
	// Keep is how many pods the unit is to keep, Stay how many of them on another revision than Update, and Limit how many may be unavailable.
	Keep, Stay, Limit int32
	// Paused: no pod is taken away for another revision.
	Paused bool
	// Current is the revision of pods that are made to stay.
	Current, Update string
	Sets            []RevisionSet
}

// RevisionSets decides how many pods each set is to keep, by revision; a revision that has no set yet may be among them.
//
// An available pod is taken away only while, with all that is unavailable for any reason, no more than Limit are. Broken pods of another revision than
// Update go first and cost nothing: a set takes those that are not ready before others. Nothing is made above Keep: what is to go must be gone first.
func RevisionSets(s RevisionSetsState) map[string]int32 {
	r := revisionSets{s: s, told: map[string]int32{}, available: map[string]int32{}, budget: s.Limit - s.Keep}
	for i := range s.Sets {
		set := &s.Sets[i]
		r.told[set.Revision] = set.Told
		r.available[set.Revision] = set.available()
		r.budget += set.available()
	}
	r.shrink()
	if !s.Paused {
		r.move()
	}
	r.fill()
	return r.told
}

type revisionSets struct {
	s         RevisionSetsState
	told      map[string]int32
	available map[string]int32
	budget    int32
}

func (r *revisionSets) total() (n int32) {
	for _, told := range r.told {
		n += told
	}
	return n
}

func (r *revisionSets) old() int32 { return r.total() - r.told[r.s.Update] }

// olds are the sets of other revisions than Update, those first that nobody wants to stay on.
func (r *revisionSets) olds() []string {
	var out []string
	for _, set := range r.s.Sets {
		if set.Revision != r.s.Update && set.Revision != r.s.Current {
			out = append(out, set.Revision)
		}
	}
	if r.s.Current != r.s.Update {
		out = append(out, r.s.Current)
	}
	return out
}

// take one pod from a set: one that is not available where it has any. False where the limit does not let it.
func (r *revisionSets) take(revision string, broken bool) bool {
	if r.told[revision] == 0 {
		return false
	}
	if r.told[revision] == r.available[revision] {
		if broken || r.budget <= 0 {
			return false
		}
		r.available[revision]--
		r.budget--
	}
	r.told[revision]--
	return true
}

// shrink takes the pods that are too many, from the side that is further above its share; broken ones first.
func (r *revisionSets) shrink() {
	for _, broken := range []bool{true, false} {
		for surplus := r.total() - r.s.Keep; surplus > 0; surplus-- {
			sides := [][]string{r.olds(), {r.s.Update}}
			if r.told[r.s.Update]-(r.s.Keep-r.s.Stay) > r.old()-r.s.Stay {
				sides[0], sides[1] = sides[1], sides[0]
			}
			if !r.takeAny(append(sides[0], sides[1]...), broken) {
				break
			}
		}
	}
}

// move takes old pods that are not to stay, so that others can be made in their place.
func (r *revisionSets) move() {
	for _, broken := range []bool{true, false} {
		for r.old() > r.s.Stay && r.takeAny(r.olds(), broken) {
		}
	}
}

func (r *revisionSets) takeAny(revisions []string, broken bool) bool {
	for _, revision := range revisions {
		if r.take(revision, broken) {
			return true
		}
	}
	return false
}

// fill what is missing: on the current revision while fewer than Stay are on another than Update.
func (r *revisionSets) fill() {
	room := r.s.Keep
	for _, set := range r.s.Sets {
		room -= max(r.told[set.Revision], set.Pods)
	}
	if room <= 0 {
		return
	}
	if n := min(r.s.Stay-r.old(), room); n > 0 && r.s.Current != r.s.Update {
		r.told[r.s.Current] += n
		room -= n
	}
	r.told[r.s.Update] += min(room, max(r.s.Keep-r.total(), 0))
}
