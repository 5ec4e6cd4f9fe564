package window

import (
	"fmt"
	"time"

	"github.com/robfig/cron/v3"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
)

// mostJoined is how many openings are followed when windows run into each other.
const mostJoined = 500

// Set is some windows in one zone, any of which is enough.
type Set struct {
	windows []window
	zone    *time.Location
}

// window opens as the schedule says, read as if the clock on the wall were UTC.
type window struct {
	schedule cron.Schedule
	length   time.Duration
}

// New makes a set; the error names the window that is wrong, as validation would have.
func New(windows []v1alpha1.TimeWindow, timeZone string) (*Set, error) {
	zone, err := v1alpha1.ParseTimeZone(timeZone)
	if err != nil {
		return nil, fmt.Errorf("time zone %q: %w", timeZone, err)
	}
	s := &Set{zone: zone}
	for _, w := range windows {
		schedule, err := v1alpha1.ParseSchedule(w.Schedule)
		if err != nil {
			return nil, fmt.Errorf("schedule %q: %w", w.Schedule, err)
		}
		s.windows = append(s.windows, window{schedule: schedule, length: w.Duration.Duration})
	}
	return s, nil
}

// Standing is how the windows stand at a moment.
type Standing struct {
	Open bool
	// Next is when that changes: the closing, which is no part of the window, or the next opening. Where windows run into each other for long it
	// is a time until which they are surely open. Zero where it does not change within five years: a set without windows is always open.
	Next time.Time
}

// At says how the windows stand at a moment.
func (s *Set) At(now time.Time) Standing {
	if len(s.windows) == 0 {
		return Standing{Open: true}
	}
	var next time.Time
	for _, w := range s.windows {
		if at := s.opening(w, now.Add(-w.length)); !at.IsZero() && !at.After(now) {
			return Standing{Open: true, Next: s.closing(now)}
		}
		if at := s.opening(w, now); !at.IsZero() && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	return Standing{Next: next}
}

// closing is when the windows that are open at now, and those that open before they close, are all over.
func (s *Set) closing(now time.Time) time.Time {
	end := now
	for range mostJoined {
		longer := false
		for _, w := range s.windows {
			if at := s.opening(w, end.Add(-w.length)); !at.IsZero() && !at.After(end) {
				end, longer = at.Add(w.length), true
			}
		}
		if !longer {
			break
		}
	}
	return end
}

// opening is the first opening of a window after a moment; zero where there is none within five years.
func (s *Set) opening(w window, after time.Time) time.Time {
	wall := onTheWall(after.In(s.zone))
	for {
		// An opening that the wall shows later never comes earlier, but it may come no later: at a jump, or in an hour that is shown twice.
		if wall = w.schedule.Next(wall); wall.IsZero() {
			return time.Time{}
		}
		if at := s.moment(wall); at.After(after) {
			return at
		}
	}
}

// onTheWall is what a clock shows, as a time in UTC.
func onTheWall(t time.Time) time.Time {
	return time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), time.UTC)
}

// moment is when the clock on the wall first shows a time; where it never does, the jump that leaves it out.
func (s *Set) moment(wall time.Time) time.Time {
	near := time.Date(wall.Year(), wall.Month(), wall.Day(), wall.Hour(), wall.Minute(), wall.Second(), wall.Nanosecond(), s.zone)
	start, end := near.ZoneBounds()
	var first time.Time
	for _, within := range []time.Time{near, start.Add(-1), end} {
		_, offset := within.In(s.zone).Zone()
		at := wall.Add(-time.Duration(offset) * time.Second).In(s.zone)
		if onTheWall(at).Equal(wall) && (first.IsZero() || at.Before(first)) {
			first = at
		}
	}
	switch {
	case !first.IsZero():
		return first.UTC()
	case onTheWall(near).After(wall):
		return start.UTC()
	}
	return end.UTC()
}
