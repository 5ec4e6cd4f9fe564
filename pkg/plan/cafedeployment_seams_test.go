package plan

import "testing"

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
