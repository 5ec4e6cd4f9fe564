package stage

import (
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"github.com/periplus-dev/periplus/pkg/fleet"
	"github.com/periplus-dev/periplus/pkg/workload"
)

// Fleet is what stages need of the members. The methods and what they promise are described at fleet.Fleet.
type Fleet interface {
	Info(member string) (fleet.Info, error)
	List(sel labels.Selector) ([]fleet.Info, error)
	Open(owner types.UID, member string, wake func()) (workload.Session, error)
	Close(owner types.UID)
}

// OverFleet is the Fleet of a process that connects to its members.
func OverFleet(f *fleet.Fleet) Fleet { return connected{f} }

type connected struct{ *fleet.Fleet }

// Open implements Fleet.
func (c connected) Open(owner types.UID, member string, wake func()) (workload.Session, error) {
	s, err := c.Fleet.Open(owner, member, wake)
	if err != nil {
		return nil, err
	}
	return s, nil
}
