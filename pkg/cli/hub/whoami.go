package hub

import (
	"context"

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
