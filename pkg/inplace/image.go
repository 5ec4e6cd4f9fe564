package inplace

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// sameImage says whether a container's status speaks of the image that a spec names. Runtimes write names in full: "nginx" is reported as
// "docker.io/library/nginx:latest". A name with a digest is compared by the digest alone.
func sameImage(want string, status corev1.ContainerStatus) bool {
	if _, digest, ok := strings.Cut(want, "@"); ok {
		return strings.HasSuffix(status.Image, digest) || strings.HasSuffix(status.ImageID, digest)
	}
	return fullName(want) == fullName(status.Image)
}

// fullName of an image without a digest, with its registry and its tag.
func fullName(image string) string {
	first, rest, hasSlash := strings.Cut(image, "/")
	switch {
	case !hasSlash:
		image = "docker.io/library/" + image
	case !strings.ContainsAny(first, ".:") && first != "localhost":
		image = "docker.io/" + image
	case first == "docker.io" && !strings.Contains(rest, "/"):
		image = "docker.io/library/" + rest
	}
	if !strings.Contains(image[strings.LastIndex(image, "/"):], ":") {
		image += ":latest"
	}
	return image
}
