package window_test

import (
	"math/rand/v2"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/window"
)

func every(schedule string, d time.Duration) v1alpha1.TimeWindow {
	return v1alpha1.TimeWindow{Schedule: schedule, Duration: metav1.Duration{Duration: d}}
}

func TestWhetherAMomentIsWithinWindows(t *testing.T) {
	const never = ""
	office := []v1alpha1.TimeWindow{every("0 9 * * MON-THU", 8*time.Hour)}
	for _, c := range []struct {
		name    string
		windows []v1alpha1.TimeWindow
		zone    string
		at      string
		open    bool
		next    string
	}{
		{"no window is always open", nil, "", "2026-11-21T14:00:00Z", true, never},
		{"the first moment is within", office, "", "2026-11-23T09:00:00Z", true, "2026-11-23T17:00:00Z"},
		{"a moment in the middle is within", office, "", "2026-11-23T12:34:56Z", true, "2026-11-23T17:00:00Z"},
		{"the last nanosecond is within", office, "", "2026-11-23T16:59:59.999999999Z", true, "2026-11-23T17:00:00Z"},
		{"the closing is not within", office, "", "2026-11-23T17:00:00Z", false, "2026-11-24T09:00:00Z"},
		{"half a second before the opening is not within", office, "", "2026-11-23T08:59:59.5Z", false, "2026-11-23T09:00:00Z"},
		{"over the weekend the next is on Monday", office, "", "2026-11-26T17:00:00Z", false, "2026-11-30T09:00:00Z"},
		{"a zone counts by its own clock", office, "Europe/Berlin", "2026-11-23T08:30:00Z", true, "2026-11-23T16:00:00Z"},
		{"a zone's day is its own", []v1alpha1.TimeWindow{every("0 0 * * TUE", time.Hour)}, "Asia/Tokyo", "2026-11-23T15:30:00Z", true, "2026-11-23T16:00:00Z"},
		{"a window goes on past midnight", []v1alpha1.TimeWindow{every("0 22 * * *", 4*time.Hour)}, "", "2026-11-24T01:00:00Z", true, "2026-11-24T02:00:00Z"},
		{"of two windows the one that opens first is the next", append(office, every("0 6 * * *", time.Hour)), "", "2026-11-23T07:00:00Z", false, "2026-11-23T09:00:00Z"},
		{"windows that overlap close with the last", append(office, every("30 16 * * *", time.Hour)), "", "2026-11-23T10:00:00Z", true, "2026-11-23T17:30:00Z"},
		{"windows that meet are one", append(office, every("0 17 * * *", time.Hour)), "", "2026-11-23T10:00:00Z", true, "2026-11-23T18:00:00Z"},
		{"a longer window that began before counts", []v1alpha1.TimeWindow{every("0 9 * * *", time.Hour), every("0 8 * * *", 10*time.Hour)}, "", "2026-11-23T09:30:00Z", true, "2026-11-23T18:00:00Z"},
		{"a leap day comes", []v1alpha1.TimeWindow{every("0 0 29 2 *", time.Hour)}, "", "2026-01-01T00:00:00Z", false, "2028-02-29T00:00:00Z"},
		{"day of month or day of week is enough where both are given", []v1alpha1.TimeWindow{every("0 9 1 * FRI", time.Hour)}, "", "2026-11-24T00:00:00Z", false, "2026-11-27T09:00:00Z"},

		// In Berlin the clock goes from 02:00 to 03:00 on 2026-03-29 at 01:00 UTC, and from 03:00 to 02:00 on 2026-10-25 at 01:00 UTC.
		{"before the clock is put forward the hour is winter's", []v1alpha1.TimeWindow{every("0 9 * * *", time.Hour)}, "Europe/Berlin", "2026-03-28T00:00:00Z", false, "2026-03-28T08:00:00Z"},
		{"after it the hour is summer's", []v1alpha1.TimeWindow{every("0 9 * * *", time.Hour)}, "Europe/Berlin", "2026-03-29T00:00:00Z", false, "2026-03-29T07:00:00Z"},
		{"an opening that the clock leaves out happens at the jump", []v1alpha1.TimeWindow{every("30 2 * * *", time.Hour)}, "Europe/Berlin", "2026-03-29T00:30:00Z", false, "2026-03-29T01:00:00Z"},
		{"and lasts as long as it would have", []v1alpha1.TimeWindow{every("30 2 * * *", time.Hour)}, "Europe/Berlin", "2026-03-29T01:59:59Z", true, "2026-03-29T02:00:00Z"},
		{"a window over the jump lasts in time that passes", []v1alpha1.TimeWindow{every("30 1 * * *", time.Hour)}, "Europe/Berlin", "2026-03-29T01:15:00Z", true, "2026-03-29T01:30:00Z"},
		{"an opening that the clock shows twice happens once", []v1alpha1.TimeWindow{every("30 2 * * *", 15*time.Minute)}, "Europe/Berlin", "2026-10-25T00:20:00Z", false, "2026-10-25T00:30:00Z"},
		{"and not again", []v1alpha1.TimeWindow{every("30 2 * * *", 15*time.Minute)}, "Europe/Berlin", "2026-10-25T01:35:00Z", false, "2026-10-26T01:30:00Z"},
		{"in the hour that is shown twice the next opening is not the past one", []v1alpha1.TimeWindow{every("30 2,4 * * *", 15*time.Minute)}, "Europe/Berlin", "2026-10-25T01:10:00Z", false, "2026-10-25T03:30:00Z"},
		{"a jump at midnight leaves no day out", []v1alpha1.TimeWindow{every("0 0 * * *", time.Hour)}, "America/Asuncion", "2022-10-02T03:30:00Z", false, "2022-10-02T04:00:00Z"},
		{"a jump over a whole day opens at the jump", []v1alpha1.TimeWindow{every("0 12 30 12 *", time.Hour)}, "Pacific/Apia", "2011-12-30T00:00:00Z", false, "2011-12-30T10:00:00Z"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := window.New(c.windows, c.zone)
			if err != nil {
				t.Fatal(err)
			}
			at, err := time.Parse(time.RFC3339Nano, c.at)
			if err != nil {
				t.Fatal(err)
			}
			got := s.At(at)
			next := ""
			if !got.Next.IsZero() {
				next = got.Next.Format(time.RFC3339Nano)
			}
			if got.Open != c.open || next != c.next {
				t.Errorf("open %v, next %s; want %v, %s", got.Open, next, c.open, c.next)
			}
		})
	}
}

func TestWindowsWithoutEndAreOpenForALongTime(t *testing.T) {
	s, err := window.New([]v1alpha1.TimeWindow{every("* * * * *", time.Hour)}, "")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 11, 21, 14, 0, 0, 0, time.UTC)
	if got := s.At(now); !got.Open || got.Next.Sub(now) < 5*time.Hour {
		t.Errorf("%+v", got)
	}
}

func TestWhatIsNoWindowIsNamed(t *testing.T) {
	for name, make := range map[string]func() (*window.Set, error){
		`time zone "Europe/Atlantis"`: func() (*window.Set, error) { return window.New(nil, "Europe/Atlantis") },
		`schedule "@daily"`: func() (*window.Set, error) {
			return window.New([]v1alpha1.TimeWindow{every("@daily", time.Hour)}, "")
		},
	} {
		if _, err := make(); err == nil || len(err.Error()) < len(name) || err.Error()[:len(name)] != name {
			t.Errorf("%v must begin with %s", err, name)
		}
	}
}

// TestNextIsWhenItChanges: for random windows, zones and moments, nothing changes before Next, and it does at Next.
func TestNextIsWhenItChanges(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	schedules := []string{"0 9 * * MON-FRI", "30 2 * * *", "*/20 1-3 * * *", "0 0 * * SUN", "15 23 1,15 * *", "0 */6 * * *", "59 2 * 3,10 *"}
	zones := []string{"UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Asuncion", "Asia/Kathmandu"}
	for range 400 {
		var ws []v1alpha1.TimeWindow
		for range 1 + r.IntN(3) {
			ws = append(ws, every(schedules[r.IntN(len(schedules))], time.Duration(1+r.IntN(300))*time.Minute))
		}
		zone := zones[r.IntN(len(zones))]
		s, err := window.New(ws, zone)
		if err != nil {
			t.Fatal(err)
		}
		// Around the days on which clocks are put forward or back, more often than not.
		now := time.Date(2026, time.Month(3+r.IntN(9)), 1+r.IntN(31), r.IntN(24), r.IntN(60), r.IntN(60), 0, time.UTC)
		got := s.At(now)
		if got.Next.IsZero() || !got.Next.After(now) {
			t.Fatalf("%v in %s at %s: %+v", ws, zone, now, got)
		}
		step := max(got.Next.Sub(now)/50, time.Second)
		for at := now; at.Before(got.Next); at = at.Add(step) {
			if s.At(at).Open != got.Open {
				t.Fatalf("%v in %s at %s says open %v until %s, and at %s it is not so", ws, zone, now, got.Open, got.Next, at)
			}
		}
		if s.At(got.Next).Open == got.Open {
			t.Fatalf("%v in %s at %s says that it changes at %s, and it does not", ws, zone, now, got.Next)
		}
	}
}
