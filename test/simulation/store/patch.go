package store

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
)

func (s *Store) patch(contentType string, old *Object, sub string, body []byte) ([]byte, error) {
	media, _, _ := strings.Cut(contentType, ";")
	var raw []byte
	var err error
	switch types.PatchType(media) {
	case types.JSONPatchType:
		raw, err = jsonPatched(old.JSON, body)
	case types.MergePatchType:
		raw, err = jsonpatch.MergePatch(old.JSON, body)
	case types.StrategicMergePatchType:
		if old.Kind.typed == nil {
			return nil, unsupported(contentType)
		}
		raw, err = strategicpatch.StrategicMergePatch(old.JSON, body, old.Kind.typed())
	case types.ApplyPatchType:
		return nil, unimplemented("server-side apply")
	default:
		return nil, unsupported(contentType)
	}
	if err != nil {
		return nil, unprocessable(err)
	}
	fields, err := decode(raw)
	if err != nil {
		return nil, err
	}
	return bodyOf(s.update(old, fields, sub, true))
}

func jsonPatched(doc, body []byte) ([]byte, error) {
	p, err := jsonpatch.DecodePatch(body)
	if err != nil {
		return nil, fmt.Errorf("decoding a JSON patch: %w", err)
	}
	raw, err := p.Apply(doc)
	if err != nil {
		return nil, fmt.Errorf("applying a JSON patch: %w", err)
	}
	if !json.Valid(raw) {
		return nil, fmt.Errorf("a JSON patch came to %q", raw)
	}
	return raw, nil
}

func unprocessable(err error) error {
	return apierrors.NewGenericServerResponse(http.StatusUnprocessableEntity, "", metav1.Unversioned.WithResource("").GroupResource(), "", err.Error(), 0, false)
}

func unsupported(media string) error {
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: http.StatusUnsupportedMediaType, Reason: metav1.StatusReasonUnsupportedMediaType,
		Message: "the body of the request was in an unknown format: " + media,
	}}
}
