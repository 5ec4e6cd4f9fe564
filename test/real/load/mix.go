package load

// Mix is how many of every hundred requests are of each kind. The rest are New.
type Mix struct{ Kept, Long int }

// Kind of the request of this number. Kinds are spread, so that every second of a run has some of each.
func (m Mix) Kind(number int) Kind {
	// 37 and 100 have no divisor in common: every hundred numbers come to every place once.
	place := number * 37 % 100
	switch {
	case place < m.Long:
		return Long
	case place < m.Long+m.Kept:
		return Kept
	default:
		return New
	}
}
