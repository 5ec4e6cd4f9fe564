package guard

// Set is the compiled guards of one stage. It is immutable, and several goroutines may judge with it at once.
type Set struct {
	programs []*Program
}

// Programs returns the guards' programs in their order. The list is the set's own.
func (s *Set) Programs() []*Program { return s.programs }
