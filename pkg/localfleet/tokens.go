package localfleet

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	applycorev1 "k8s.io/client-go/applyconfigurations/core/v1"
)

// serviceAccountToken returns a lasting token of a ServiceAccount: that of a Secret which the controller manager fills.
func (c *clusterClient) serviceAccountToken(ctx context.Context, namespace, name string) (string, error) {
	secrets := c.typed.CoreV1().Secrets(namespace)
	secretName := name + "-local-token"
	secret := applycorev1.Secret(secretName, namespace).
		WithAnnotations(map[string]string{corev1.ServiceAccountNameKey: name}).
		WithType(corev1.SecretTypeServiceAccountToken)
	if _, err := secrets.Apply(ctx, secret, metav1.ApplyOptions{FieldManager: fieldManager, Force: true}); err != nil {
		return "", fmt.Errorf("asking for a token of ServiceAccount %s/%s on %s: %w", namespace, name, c.name, err)
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	var token string
	err := poll(ctx, 50*time.Millisecond, func() bool {
		got, err := secrets.Get(ctx, secretName, metav1.GetOptions{})
		if err == nil {
			token = string(got.Data[corev1.ServiceAccountTokenKey])
		}
		return token != ""
	})
	if err != nil {
		return "", fmt.Errorf("waiting for the controller manager of %s to fill Secret %s/%s (does the ServiceAccount %s exist?): %w", c.name, namespace, secretName, name, err)
	}
	return token, nil
}

// writePartIdentity writes the kubeconfig a part runs with: its ServiceAccount's, never the admin's.
func (c *clusterClient) writePartIdentity(ctx context.Context, l Layout, s *State, cred credentials, partName, namespace, account string) error {
	token, err := c.serviceAccountToken(ctx, namespace, account)
	if err != nil {
		return err
	}
	return writeKubeconfig(l.partKubeconfig(c.name, partName),
		access{context: c.name, cluster: c.name, server: s.server(c.name), ca: cred.ca, token: token})
}
