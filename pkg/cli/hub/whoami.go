package hub

import (
	"context"
	"slices"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// WhoAmI asks the API server who the caller is to it: the user's name and groups, impersonation included.
func (h *Hub) WhoAmI(ctx context.Context) (user string, groups []string, err error) {
	review, err := h.Kube.AuthenticationV1().SelfSubjectReviews().Create(ctx, &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	if err != nil {
		return "", nil, h.Explain(Request{Verb: "create", Resource: "selfsubjectreviews.authentication.k8s.io"}, err)
	}
	return review.Status.UserInfo.Username, review.Status.UserInfo.Groups, nil
}

// What an object that records a person holds of groups at most, as the schemas say.
const mostGroups, longestGroup = 256, 253

// RecordedGroups gives groups as an object that records a person can hold them: each once, those of first before the others, and as many and
// as long as the schemas allow.
func RecordedGroups(groups, first []string) []string {
	var out []string
	for _, named := range []bool{true, false} {
		for _, g := range groups {
			if slices.Contains(first, g) == named && len(g) <= longestGroup && !slices.Contains(out, g) && len(out) < mostGroups {
				out = append(out, g)
			}
		}
	}
	return out
}
