package guard

import "time"

// Series is one series of an answer.
type Series struct {
	// Labels that tell it from others; empty where there is only one.
	Labels map[string]string
	// Value can be NaN or infinite.
	Value float64
}

// Reading is what a source said of one metric.
type Reading struct {
	// Query as it was asked.
	Query string
	// Series of the answer; none where there is no data.
	Series []Series
	// Err says why there is no answer, in one line; empty where there is one.
	Err string
}

// Sample is what sources said of all metrics of one guard in one member, asked at one time.
type Sample struct {
	// At is when they were asked.
	At time.Time
	// Metrics by name.
	Metrics map[string]Reading
}
