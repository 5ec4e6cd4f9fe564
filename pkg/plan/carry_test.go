package plan_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/plan"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

const letters = ".wdfs"

// convoy reads waves such as "ddw .." as members that are done, worked on, failed, skipped, or wait.
func convoy(waves string, parallel ...int) *plan.Convoy {
	c := &plan.Convoy{Now: noon}
	for i, w := range strings.Split(waves, " ") {
		var members []plan.Carrying
		for _, l := range w {
			members = append(members, plan.Carrying(strings.IndexRune(letters, l)))
		}
		c.Waves = append(c.Waves, members)
		c.Parallel = append(c.Parallel, parallel[min(i, len(parallel)-1)])
	}
	return c
}

func course(c plan.Course) string {
	var out []string
	for _, p := range c.Turn {
		out = append(out, fmt.Sprintf("%d/%d", p.Wave, p.Index))
	}
	switch {
	case c.Ended && c.Lost:
		return "lost"
	case c.Ended:
		return "ended"
	case c.Stopped:
		return "stopped"
	case !c.PausedUntil.IsZero():
		return "paused until " + c.PausedUntil.Format("15:04")
	}
	return "turn " + strings.Join(out, " ")
}

func TestWhoIsBegunNext(t *testing.T) {
	for name, tc := range map[string]struct {
		at   *plan.Convoy
		max  int
		wait time.Duration // pause
		ago  time.Duration // since the wave's turn; 0 means that it is the first
		want string
	}{
		"the first member begins":                                                            {at: convoy("...", 1), want: "turn 0/0"},
		"as many begin as may be worked on at once":                                          {at: convoy("...", 2), want: "turn 0/0 0/1"},
		"who is worked on holds a place":                                                     {at: convoy("w...", 2), want: "turn 0/1"},
		"nobody begins where all places are taken":                                           {at: convoy("ww..", 2), want: "turn "},
		"a place that came free is the next one's":                                           {at: convoy("dw..", 2), want: "turn 0/2"},
		"no wave begins before the last member of the one before is over":                    {at: convoy("dw ..", 5), want: "turn "},
		"a wave begins when everybody before is over":                                        {at: convoy("dds ..", 5), want: "turn 1/0 1/1"},
		"an empty wave is passed over":                                                       {at: convoy("d  ..", 5), want: "turn 2/0 2/1"},
		"each wave has its own number":                                                       {at: convoy("d ...", 1, 3), want: "turn 1/0 1/1 1/2"},
		"a wave waits for its pause":                                                         {at: convoy("d .", 1), wait: time.Hour, ago: time.Minute, want: "paused until 12:59"},
		"a wave begins when its pause is over":                                               {at: convoy("d .", 1), wait: time.Hour, ago: time.Hour, want: "turn 1/0"},
		"the first wave does not wait":                                                       {at: convoy(".", 1), wait: time.Hour, want: "turn 0/0"},
		"failures that are borne stop nobody":                                                {at: convoy("f..", 1), max: 1, want: "turn 0/1"},
		"one failure too many stops all":                                                     {at: convoy("ff.", 1), max: 1, want: "lost"},
		"who is worked on is let finish":                                                     {at: convoy("fw..", 2), want: "stopped"},
		"all done is the end":                                                                {at: convoy("dd d", 1), want: "ended"},
		"the end is good where those who failed are borne":                                   {at: convoy("df sd", 1), max: 1, want: "ended"},
		"one who is tried again in an earlier wave goes before those who wait":               {at: convoy("d. ..", 2), want: "turn 0/1"},
		"who is worked on in a later wave holds a place while an earlier one is tried again": {at: convoy("d. w.", 1), want: "turn "},
	} {
		t.Run(name, func(t *testing.T) {
			tc.at.MaxFailures, tc.at.Pause = tc.max, tc.wait
			if tc.ago > 0 {
				tc.at.Since = noon.Add(-tc.ago)
			}
			if got := course(tc.at.Next()); got != tc.want {
				t.Errorf("got %q; want %q", got, tc.want)
			}
		})
	}
}

func TestWhatBecomesOfThoseWhoseTurnItIs(t *testing.T) {
	const hold, skip = v1alpha1.UnreachableHold, v1alpha1.UnreachableSkip
	for name, tc := range map[string]struct {
		turn string // y clear, n not yet, c cut off, r refused, g gone
		on   v1alpha1.OnUnreachable
		want string
	}{
		"who is clear begins":                                      {turn: "yy", on: hold, want: "ww"},
		"who is not clear yet keeps nobody else":                   {turn: "ny", on: hold, want: ".w"},
		"nobody begins after one that is cut off":                  {turn: "ycy", on: hold, want: "w.."},
		"one that is cut off is skipped where that is asked":       {turn: "ycy", on: skip, want: "wsw"},
		"one whose guard failed has failed":                        {turn: "ry", on: hold, want: "fw"},
		"one that left the fleet is skipped, whatever is asked":    {turn: "gy", on: hold, want: "sw"},
		"one that is cut off is not skipped for being slow to say": {turn: "n", on: skip, want: "."},
	} {
		t.Run(name, func(t *testing.T) {
			var in []plan.Clearance
			for _, l := range tc.turn {
				in = append(in, plan.Clearance(strings.IndexRune("nycrg", l)))
			}
			got := ""
			for _, c := range plan.Admit(in, tc.on) {
				got += letters[c : c+1]
			}
			if got != tc.want {
				t.Errorf("got %s; want %s", got, tc.want)
			}
		})
	}
}

var (
	convoySeed = flag.Uint64("convoy-seed", 0, "the one convoy to run; all where 0")
	convoys    = flag.Uint64("convoys", 2000, "how many random convoys to run")
)

// TestRulesOfConvoys carries random convoys to their end, with members that fail, are skipped, and are tried again.
func TestRulesOfConvoys(t *testing.T) {
	for seed := uint64(1); seed <= *convoys; seed++ {
		if *convoySeed != 0 && seed != *convoySeed {
			continue
		}
		if why := sailConvoy(rand.New(rand.NewPCG(seed, 7))); why != "" { // #nosec G404 -- a test's dice.
			t.Fatalf("seed %d (-convoy-seed=%d): %s", seed, seed, why)
		}
	}
}

func sailConvoy(rng *rand.Rand) string {
	c := &plan.Convoy{Now: noon, Pause: time.Duration(rng.IntN(3)) * time.Minute, MaxFailures: rng.IntN(4)}
	for range 1 + rng.IntN(4) {
		c.Waves = append(c.Waves, make([]plan.Carrying, rng.IntN(6)))
		c.Parallel = append(c.Parallel, 1+rng.IntN(3))
	}
	wave, tries := 0, 0
	for range 500 {
		was := c.Next()
		if was.Wave > wave && was.Wave < len(c.Waves) {
			wave, c.Since = was.Wave, c.Now
			was = c.Next()
		}
		failed := c.Count(plan.MemberFailed)
		if was.Ended {
			switch {
			case was.Lost != (failed > c.MaxFailures):
				return fmt.Sprintf("lost is %t with %d failures of %d", was.Lost, failed, c.MaxFailures)
			case !was.Lost && c.Count(plan.MemberWaiting)+c.Count(plan.MemberWorking) > 0:
				return "it ended well with members left"
			case was.Lost && c.Count(plan.MemberWorking) > 0:
				return "it ended with members that are worked on"
			}
			return ""
		}
		for _, p := range was.Turn {
			switch {
			case failed > c.MaxFailures:
				return "a member begins after too many failed"
			case c.Waves[p.Wave][p.Index] != plan.MemberWaiting:
				return "a member begins that does not wait"
			case p.Wave == wave && !c.Since.IsZero() && c.Now.Before(c.Since.Add(c.Pause)):
				return "a wave begins in its pause"
			}
			for i := range p.Wave {
				for _, m := range c.Waves[i] {
					if !m.Over() {
						return "a wave begins before one is over that comes before it"
					}
				}
			}
			c.Waves[p.Wave][p.Index] = plan.MemberWorking
			if n := c.Count(plan.MemberWorking); n > c.Parallel[p.Wave] {
				return fmt.Sprintf("%d members are worked on at once, and %d may be", n, c.Parallel[p.Wave])
			}
		}
		c.Now = c.Now.Add(20 * time.Second)
		for i := range c.Waves {
			for j := range c.Waves[i] {
				switch m := &c.Waves[i][j]; {
				case *m == plan.MemberWorking && rng.IntN(3) == 0:
					*m = []plan.Carrying{plan.MemberDone, plan.MemberDone, plan.MemberDone, plan.MemberFailed, plan.MemberSkipped}[rng.IntN(5)]
				case *m == plan.MemberFailed && tries < 5 && rng.IntN(10) == 0:
					tries++
					*m = plan.MemberWaiting
				}
			}
		}
	}
	return "it never ends"
}
