package localfleet

import (
	"fmt"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// access is one way into one cluster.
type access struct {
	context, cluster, user string
	server                 string
	ca                     []byte
	token                  string
}

func (s *State) server(cluster string) string {
	return fmt.Sprintf("https://127.0.0.1:%d", s.Port(cluster, PartAPIServer, "https"))
}

// kubeconfig renders accesses as one kubeconfig; the first is the current context.
func kubeconfig(accesses ...access) ([]byte, error) {
	config := clientcmdapi.NewConfig()
	for i, a := range accesses {
		config.Clusters[a.cluster] = &clientcmdapi.Cluster{Server: a.server, CertificateAuthorityData: a.ca}
		config.AuthInfos[a.context] = &clientcmdapi.AuthInfo{Token: a.token}
		config.Contexts[a.context] = &clientcmdapi.Context{Cluster: a.cluster, AuthInfo: a.context}
		if i == 0 {
			config.CurrentContext = a.context
		}
	}
	data, err := clientcmd.Write(*config)
	if err != nil {
		return nil, fmt.Errorf("writing a kubeconfig: %w", err)
	}
	return data, nil
}

// contextName is <cluster> for the admin and <cluster>-<user> for everybody else.
func contextName(cluster, user string) string {
	if user == Admin || user == "" {
		return cluster
	}
	return cluster + "-" + user
}

// writeKubeconfigs writes one file for each user of each cluster, and all of them in all.yaml.
func writeKubeconfigs(l Layout, s *State, cred credentials) error {
	var all []access
	for _, c := range s.Clusters() {
		for _, u := range users {
			a := access{context: contextName(c, u.Name), cluster: c, user: u.Name, server: s.server(c), ca: cred.ca, token: cred.tokens[u.Name]}
			all = append(all, a)
			if err := writeKubeconfig(l.Kubeconfig(a.context), a); err != nil {
				return err
			}
		}
		// The parts of the cluster itself are its admin: that is what they are in most real clusters.
		own := access{context: c, cluster: c, server: s.server(c), ca: cred.ca, token: cred.tokens[Admin]}
		if err := writeKubeconfig(l.partKubeconfig(c, "kubernetes"), own); err != nil {
			return err
		}
	}
	return writeKubeconfig(l.Kubeconfig("all"), all...)
}

func writeKubeconfig(file string, accesses ...access) error {
	data, err := kubeconfig(accesses...)
	if err != nil {
		return err
	}
	return writeFile(file, data, 0o600)
}
