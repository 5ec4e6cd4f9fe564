package fleet

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/hashicorp/go-multierror"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// userAgent names us in the members' audit logs.
const userAgent = "periplus-hub"

// restConfig makes the client configuration of a kubeconfig's current context. A kubeconfig that would make this process run a
// program or read its own disk is refused: whoever may write a Secret must not thereby act as the controller.
func restConfig(kubeconfig []byte) (*rest.Config, error) {
	raw, err := clientcmd.Load(kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("parsing the kubeconfig: %w", err)
	}
	cluster, user, err := currentContext(raw)
	if err != nil {
		return nil, err
	}
	if err := refuseLocal(cluster, user); err != nil {
		return nil, err
	}
	cfg, err := clientcmd.NewDefaultClientConfig(*raw, &clientcmd.ConfigOverrides{}).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("reading the kubeconfig's current context %q: %w", raw.CurrentContext, err)
	}
	cfg.UserAgent = userAgent
	// The member's priority and fairness limits us, and CallsPerMember does; a client-side limit would only hide waiting.
	cfg.QPS, cfg.Burst = -1, 0
	// Single calls are bounded by their context. A timeout here would cut watches.
	cfg.Timeout = 0
	cfg.WarningHandler = rest.NoWarnings{}
	if cfg.Proxy == nil {
		// client-go keeps transports without a proxy function in a cache that is never emptied: each rotated credential
		// would stay in memory for good.
		cfg.Proxy = http.ProxyFromEnvironment
	}
	return cfg, nil
}

func currentContext(raw *clientcmdapi.Config) (*clientcmdapi.Cluster, *clientcmdapi.AuthInfo, error) {
	if raw.CurrentContext == "" {
		return nil, nil, errors.New("the kubeconfig names no current-context; set it")
	}
	c := raw.Contexts[raw.CurrentContext]
	if c == nil {
		return nil, nil, fmt.Errorf("the kubeconfig's current-context %q is not among its contexts", raw.CurrentContext)
	}
	cluster := raw.Clusters[c.Cluster]
	if cluster == nil || cluster.Server == "" {
		return nil, nil, fmt.Errorf("the kubeconfig's cluster %q has no server", c.Cluster)
	}
	user := raw.AuthInfos[c.AuthInfo]
	if user == nil {
		return nil, nil, fmt.Errorf("the kubeconfig's user %q is not among its users", c.AuthInfo)
	}
	return cluster, user, nil
}

// refuseLocal reports every field that refers to programs or files of the machine that reads the kubeconfig.
func refuseLocal(cluster *clientcmdapi.Cluster, user *clientcmdapi.AuthInfo) error {
	var all *multierror.Error
	refuse := func(used bool, field, instead string) {
		if used {
			all = multierror.Append(all, fmt.Errorf("%s is not allowed in a member's kubeconfig: %s", field, instead))
		}
	}
	refuse(user.Exec != nil, "exec", "the hub runs no programs of others; use a token or a client certificate")
	refuse(user.AuthProvider != nil, "auth-provider", "the hub runs no login flows; use a token or a client certificate")
	refuse(user.TokenFile != "", "tokenFile", "the hub reads no files; put the token into token")
	refuse(user.ClientCertificate != "", "client-certificate", "the hub reads no files; use client-certificate-data")
	refuse(user.ClientKey != "", "client-key", "the hub reads no files; use client-key-data")
	refuse(cluster.CertificateAuthority != "", "certificate-authority", "the hub reads no files; use certificate-authority-data")
	return all.ErrorOrNil()
}
