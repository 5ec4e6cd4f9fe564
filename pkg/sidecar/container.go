package sidecar

import (
	"cmp"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
)

// tokenPath is where admission mounts the token of the pod's ServiceAccount, into every container by itself.
const tokenPath = "/var/run/secrets/kubernetes.io/serviceaccount"

// build the container that a set puts beside the application's.
func build(of *v1alpha1.SidecarContainer, apps []corev1.Container) corev1.Container {
	c := *of.Container.DeepCopy()
	if of.ShareVolumes {
		shareVolumes(&c, apps)
	}
	for i := range of.TransferEnv {
		transferEnv(&c, &of.TransferEnv[i], apps)
	}
	return c
}

// shareVolumes mounts what the application's containers mount. A path is mounted once.
func shareVolumes(c *corev1.Container, apps []corev1.Container) {
	mounted := map[string]bool{tokenPath: true}
	for _, m := range c.VolumeMounts {
		mounted[m.MountPath] = true
	}
	for i := range apps {
		for _, m := range apps[i].VolumeMounts {
			if mounted[m.MountPath] || m.SubPathExpr != "" {
				continue
			}
			mounted[m.MountPath] = true
			c.VolumeMounts = append(c.VolumeMounts, *m.DeepCopy())
		}
	}
}

// transferEnv copies variables of the application's containers that the sidecar does not have.
func transferEnv(c *corev1.Container, of *v1alpha1.TransferEnv, apps []corev1.Container) {
	for _, name := range of.Names {
		if slices.ContainsFunc(c.Env, func(e corev1.EnvVar) bool { return e.Name == name }) {
			continue
		}
		for i := range apps {
			if of.Container != "" && apps[i].Name != of.Container {
				continue
			}
			at := slices.IndexFunc(apps[i].Env, func(e corev1.EnvVar) bool { return e.Name == name })
			if at < 0 {
				continue
			}
			e := *apps[i].Env[at].DeepCopy()
			if e.ValueFrom != nil && e.ValueFrom.ResourceFieldRef != nil {
				// Without a name it means the container that has the variable.
				e.ValueFrom.ResourceFieldRef.ContainerName = cmp.Or(e.ValueFrom.ResourceFieldRef.ContainerName, apps[i].Name)
			}
			c.Env = append(c.Env, e)
			break
		}
	}
}
