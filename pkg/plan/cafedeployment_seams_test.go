package plan

import (
	"testing"

	"k8s.io/apimachinery/pkg/util/intstr"
)

// The pods that were added in place of dcb's are not available when the deployment is made smaller by one: nothing is added any more, and dcb still stands in.
func TestFewerReplicasDoNotEmptyADrainedUnitAtOnce(t *testing.T) {
	for _, tc := range []struct {
		name                string
		available, replicas int32
		want                string
	}{
		{"while the pods in its stead are not available", 5, 9, "dca 9, dcb 2"},
		{"as far as enough are", 7, 9, "dca 9, dcb 0"},
		{"those that are too many elsewhere go at once", 5, 4, "dca 4, dcb 0"},
		{"to none", 5, 0, "dca 0, dcb 0"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := cafe2(func(s *CafeState) {
				s.Replicas, s.Scaling = tc.replicas, scaling("scale-1", 5, 10, 5, 0)
				s.Units = []CafeUnit{
					{Name: "dca", HasSets: true, Kept: 10, Goes: goes(10-tc.available, tc.available), Updated: 10, UpdatedAvailable: tc.available},
					{Name: "dcb", Draining: true, HasSets: true, Kept: 5, Goes: goes(0, 5), Updated: 5, UpdatedAvailable: 5},
				}
			})
			p, err := CafeDeployment(s)
			if got := brief(p); err != nil || got != tc.want {
				t.Errorf("got %s (%v), want %s", got, err, tc.want)
			}
		})
	}
}

// A pipeline reckons with the pods that a unit is to have. While it still keeps more, because those in their stead are not available, no more of them may go.
func TestAPartitionLetsNoMoreGoThanOfThePodsThatAUnitIsToHave(t *testing.T) {
	for _, tc := range []struct{ partition, want string }{
		{"100%", "dca 6 (6 stay), dcb 8 (8 stay), records"},
		{"75%", "dca 6 (6 stay), dcb 8 (7 stay), records"},
		{"3", "dca 6 (6 stay), dcb 8 (7 stay), records"},
		{"0", "dca 6 (6 stay), dcb 8 (4 stay), records"},
	} {
		t.Run(tc.partition, func(t *testing.T) {
			s := cafe2(changed(0, 0), func(s *CafeState) {
				s.Units = []CafeUnit{
					{Name: "dca", HasSets: true, Kept: 6, Goes: goes(6, 0)},
					{Name: "dcb", HasSets: true, Kept: 8, Goes: goes(0, 8)},
				}
				s.Wishes = map[string]intstr.IntOrString{"dcb": intstr.FromInt32(4)}
				s.Scaling = scaling("scale-1", 2, 6, 8, 4)
				s.MaxUnavailable = number(2)
				s.Driven, s.Partitions = true, map[string]intstr.IntOrString{"dca": intstr.FromString("100%"), "dcb": intstr.Parse(tc.partition)}
			})
			p, err := CafeDeployment(s)
			p.Group = nil
			if got := brief(p); err != nil || got != tc.want {
				t.Errorf("got %s (%v), want %s", got, err, tc.want)
			}
		})
	}
}
