package stage_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/rest"
	restfake "k8s.io/client-go/rest/fake"

	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/client/clientset/versioned"
	periplusfake "github.com/periplus-dev/periplus/pkg/client/clientset/versioned/fake"
	"github.com/periplus-dev/periplus/pkg/client/clientset/versioned/scheme"
	typed "github.com/periplus-dev/periplus/pkg/client/clientset/versioned/typed/stages/v1alpha1"
)

// readable is a fake clientset that also answers raw requests, by which stored stages are read.
type readable struct {
	versioned.Interface
	fake *periplusfake.Clientset
}

func (r readable) StagesV1alpha1() typed.StagesV1alpha1Interface {
	return readableStages{r.Interface.StagesV1alpha1(), r.fake}
}

type readableStages struct {
	typed.StagesV1alpha1Interface
	fake *periplusfake.Clientset
}

func (r readableStages) RESTClient() rest.Interface {
	return &restfake.RESTClient{
		GroupVersion: v1alpha1.SchemeGroupVersion, NegotiatedSerializer: scheme.Codecs.WithoutConversion(),
		Client: restfake.CreateHTTPClient(func(req *http.Request) (*http.Response, error) {
			parts := strings.Split(strings.Trim(req.URL.Path, "/"), "/") // …/namespaces/<namespace>/<resource>/<name>
			parts = parts[len(parts)-3:]
			obj, err := r.fake.Tracker().Get(v1alpha1.SchemeGroupVersion.WithResource(parts[1]), parts[0], parts[2])
			code, body := http.StatusOK, any(obj)
			if err != nil {
				status := apierrors.NewNotFound(v1alpha1.Resource(parts[1]), parts[2]).Status()
				code, body = http.StatusNotFound, &status
			}
			raw, err := json.Marshal(body)
			if err != nil {
				return nil, err
			}
			return &http.Response{StatusCode: code, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(bytes.NewReader(raw))}, nil
		}),
	}
}
