package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

var errModified = errors.New("the object has been modified; please apply your changes to the latest version and try again")

func (s *Store) now() metav1.Time { return metav1.NewTime(s.clock.Now().UTC().Truncate(time.Second)) }

func (s *Store) get(k *Kind, namespace, name string) (*Object, error) {
	if o := s.objects[key{k, namespace, name}]; o != nil {
		return o, nil
	}
	return nil, apierrors.NewNotFound(k.resource(), name)
}

// create makes an object; with dry it says what that would come to. fields are taken over.
func (s *Store) create(k *Kind, namespace string, fields map[string]any, dry bool) (*Object, error) {
	u := unstructured.Unstructured{Object: fields}
	if u.GetResourceVersion() != "" {
		return nil, apierrors.NewBadRequest("resourceVersion should not be set on objects to be created")
	}
	if u.GetNamespace() != "" && u.GetNamespace() != namespace {
		return nil, apierrors.NewBadRequest("the namespace of the provided object does not match the namespace sent on the request")
	}
	if u.GetName() == "" {
		if u.GetGenerateName() == "" {
			return nil, s.invalid(k, "", field.ErrorList{field.Required(field.NewPath("metadata", "name"), "name or generateName is required")})
		}
		u.SetName(s.newName(u.GetGenerateName()))
	}
	name := u.GetName()
	if why := validation.IsDNS1123Subdomain(name); len(why) > 0 {
		return nil, s.invalid(k, name, field.ErrorList{field.Invalid(field.NewPath("metadata", "name"), name, why[0])})
	}
	if k.Namespaced {
		if _, ok := s.objects[key{s.kinds["api/v1/namespaces"], "", namespace}]; !ok {
			return nil, apierrors.NewNotFound(s.kinds["api/v1/namespaces"].resource(), namespace)
		}
		u.SetNamespace(namespace)
	}
	if s.objects[key{k, namespace, name}] != nil {
		return nil, apierrors.NewAlreadyExists(k.resource(), name)
	}
	if k.status {
		delete(fields, "status")
	}
	meta := child(fields, "metadata")
	for _, ours := range []string{"deletionTimestamp", "deletionGracePeriodSeconds", "generation", "managedFields", "selfLink"} {
		delete(meta, ours)
	}
	fields, err := k.canonical(fields)
	if err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	u.Object = fields
	u.SetUID(s.newUID())
	u.SetCreationTimestamp(s.now())
	if k.counted != notCounted {
		u.SetGeneration(1)
	}
	if errs := k.validate(nil, fields); len(errs) > 0 {
		return nil, s.invalid(k, name, errs)
	}
	if dry {
		raw, err := json.Marshal(fields)
		if err != nil {
			return nil, fmt.Errorf("encoding a %s: %w", k.Kind, err)
		}
		return &Object{JSON: raw}, nil
	}
	return s.commit(k, nil, fields, false)
}

func (k *Kind) validate(old, next map[string]any) field.ErrorList {
	if k.schema != nil {
		return k.schema.validate(old, next)
	}
	if k.mayBecome != nil {
		return k.mayBecome(old, next)
	}
	return nil
}

func (s *Store) invalid(k *Kind, name string, errs field.ErrorList) error {
	return apierrors.NewInvalid(k.groupKind(), name, errs)
}

// update makes fields, which are taken over, the new state of old.
func (s *Store) update(old *Object, fields map[string]any, sub string, patch bool) (*Object, error) {
	k := old.Kind
	u := unstructured.Unstructured{Object: fields}
	if u.GetName() != old.Name && (u.GetName() != "" || patch) {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("the name of the object (%s) does not match the name on the URL (%s)", u.GetName(), old.Name))
	}
	if v := u.GetResourceVersion(); v != "" && v != strconv.FormatUint(old.Version, 10) {
		return nil, apierrors.NewConflict(k.resource(), old.Name, errModified)
	} else if v == "" && !k.unconditional {
		return nil, s.invalid(k, old.Name, field.ErrorList{field.Invalid(field.NewPath("metadata", "resourceVersion"), 0, "must be specified for an update")})
	}
	if u.GetUID() != "" && u.GetUID() != old.UID && patch {
		return nil, s.invalid(k, old.Name, field.ErrorList{field.Invalid(field.NewPath("metadata", "uid"), string(u.GetUID()), "field is immutable")})
	} else if u.GetUID() != "" && u.GetUID() != old.UID {
		return nil, apierrors.NewConflict(k.resource(), old.Name, fmt.Errorf("precondition failed: UID in precondition: %v, UID in object meta: %v", u.GetUID(), old.UID))
	}
	next := s.separate(old, fields, sub)
	next, err := k.canonical(next)
	if err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	if sub == subResize {
		return s.replaceBy(old, next, nil) // nothing else is in it.
	}
	return s.replace(old, next)
}

// subResize is the subresource of pods that takes nothing but the cpu and memory of their containers.
const subResize = "resize"

// resized is an object with the resources of the containers that fields name.
func resized(old *Object, fields map[string]any) map[string]any {
	next := runtime.DeepCopyJSON(old.fields)
	for _, containers := range []string{"containers", "initContainers"} {
		for _, is := range list(next, "spec", containers) {
			for _, want := range list(fields, "spec", containers) {
				c, okC := is.(map[string]any)
				w, okW := want.(map[string]any)
				if okC && okW && c["name"] == w["name"] && w["resources"] != nil {
					c["resources"] = w["resources"]
				}
			}
		}
	}
	return next
}

// separate takes of an update what its subresource may change, and the rest as it is.
func (s *Store) separate(old *Object, fields map[string]any, sub string) map[string]any {
	if sub == subResize {
		return resized(old, fields)
	}
	kept := runtime.DeepCopyJSON(old.fields)
	if sub == "status" {
		next := kept
		if status, ok := fields["status"]; ok {
			next["status"] = status
		} else {
			delete(next, "status")
		}
		if old.Kind.typed != nil { // of built-in kinds labels and annotations can be written so, too.
			was, is := child(next, "metadata"), child(fields, "metadata")
			for _, name := range []string{"labels", "annotations", "finalizers"} {
				was[name] = is[name]
				if is[name] == nil {
					delete(was, name)
				}
			}
		}
		return next
	}
	if old.Kind.status {
		if status, ok := kept["status"]; ok {
			fields["status"] = status
		} else {
			delete(fields, "status")
		}
	}
	was, is := child(kept, "metadata"), child(fields, "metadata")
	for _, ours := range []string{"name", "namespace", "uid", "creationTimestamp", "generation", "deletionTimestamp", "deletionGracePeriodSeconds", "generateName"} {
		if was[ours] == nil {
			delete(is, ours)
		} else {
			is[ours] = was[ours]
		}
	}
	delete(is, "managedFields")
	return fields
}

// replace commits next unless it is what is there.
func (s *Store) replace(old *Object, next map[string]any) (*Object, error) {
	return s.replaceBy(old, next, old.Kind.validate)
}

// replaceBy commits next if validate, which may be nil, finds nothing wrong with it.
func (s *Store) replaceBy(old *Object, next map[string]any, validate func(old, next map[string]any) field.ErrorList) (*Object, error) {
	k := old.Kind
	u := unstructured.Unstructured{Object: next}
	u.SetResourceVersion(strconv.FormatUint(old.Version, 10))
	u.SetAPIVersion(k.apiVersion())
	u.SetKind(k.Kind)
	was := unstructured.Unstructured{Object: old.fields}
	if validate != nil && (s.sparse < 2 || len(old.JSON) < 16<<10 || s.version%s.sparse == 0) {
		if errs := validate(old.fields, next); len(errs) > 0 {
			return nil, s.invalid(k, old.Name, errs)
		}
	}
	deleting := was.GetDeletionTimestamp() != nil
	if deleting {
		before := map[string]bool{}
		for _, f := range was.GetFinalizers() {
			before[f] = true
		}
		for _, f := range u.GetFinalizers() {
			if !before[f] {
				return nil, s.invalid(k, old.Name, field.ErrorList{field.Forbidden(field.NewPath("metadata", "finalizers"),
					"no new finalizers can be added if the object is being deleted, found new finalizers "+f)})
			}
		}
	}
	if apiequality.Semantic.DeepEqual(old.fields, next) {
		return old, nil
	}
	if k.changes(old.fields, next) {
		u.SetGeneration(was.GetGeneration() + 1)
	}
	grace := was.GetDeletionGracePeriodSeconds()
	return s.commit(k, old, next, deleting && len(u.GetFinalizers()) == 0 && (grace == nil || *grace == 0))
}

// changes says whether a change makes a new generation.
func (k *Kind) changes(old, next map[string]any) bool {
	rest := func(m map[string]any) map[string]any {
		out := map[string]any{}
		for name, v := range m {
			if name != "metadata" && name != "apiVersion" && name != "kind" && (name != "status" || !k.status) {
				out[name] = v
			}
		}
		return out
	}
	switch k.counted {
	case bySpec:
		return !apiequality.Semantic.DeepEqual(rest(old), rest(next))
	case byAll:
		return true
	}
	return false
}

// remove deletes an object, or begins to.
func (s *Store) remove(old *Object, o *metav1.DeleteOptions) (*Object, error) {
	k := old.Kind
	if p := o.PropagationPolicy; p != nil && *p != metav1.DeletePropagationBackground {
		return nil, unimplemented("propagationPolicy " + string(*p))
	}
	if p := o.Preconditions; p != nil {
		if p.UID != nil && *p.UID != old.UID {
			return nil, apierrors.NewConflict(k.resource(), old.Name, fmt.Errorf("precondition failed: UID in precondition: %v, UID in object meta: %v", *p.UID, old.UID))
		}
		if p.ResourceVersion != nil && *p.ResourceVersion != strconv.FormatUint(old.Version, 10) {
			return nil, apierrors.NewConflict(k.resource(), old.Name,
				fmt.Errorf("precondition failed: ResourceVersion in precondition: %v, ResourceVersion in object meta: %v", *p.ResourceVersion, old.Version))
		}
	}
	fields := runtime.DeepCopyJSON(old.fields)
	u := unstructured.Unstructured{Object: fields}
	grace := k.grace(fields, o.GracePeriodSeconds)
	if u.GetDeletionTimestamp() != nil {
		already := int64(0)
		if g := u.GetDeletionGracePeriodSeconds(); g != nil {
			already = *g
		}
		if grace >= already {
			return old, nil // already on its way.
		}
	} else if k.counted != notCounted {
		u.SetGeneration(u.GetGeneration() + 1)
	}
	ends := grace == 0 && len(u.GetFinalizers()) == 0
	if ends && !k.graceful {
		return s.commit(k, old, runtime.DeepCopyJSON(old.fields), true)
	}
	at := metav1.NewTime(s.now().Add(time.Duration(grace) * time.Second))
	u.SetDeletionTimestamp(&at)
	u.SetDeletionGracePeriodSeconds(&grace)
	leaving, err := s.commit(k, old, fields, false)
	if err != nil || !ends {
		return leaving, err
	}
	return s.commit(k, leaving, runtime.DeepCopyJSON(fields), true)
}

// grace that an object is given to end, in seconds.
func (k *Kind) grace(fields map[string]any, asked *int64) int64 {
	if !k.graceful || text(fields, "spec", "nodeName") == "" {
		return 0
	}
	if phase := text(fields, "status", "phase"); phase == "Succeeded" || phase == "Failed" {
		return 0
	}
	if asked != nil {
		return *asked
	}
	seconds, _ := find(fields, "spec", "terminationGracePeriodSeconds").(int64)
	return seconds
}

// bind gives a pod its node, once.
func (s *Store) bind(pod *Object, node string) error {
	if text(pod.fields, "spec", "nodeName") != "" {
		return apierrors.NewConflict(pod.Kind.resource(), pod.Name, fmt.Errorf("pod %s is already assigned to a node", pod.Name))
	}
	fields := runtime.DeepCopyJSON(pod.fields)
	child(fields, "spec")["nodeName"] = node
	u := unstructured.Unstructured{Object: fields}
	if u.GetDeletionTimestamp() != nil {
		return apierrors.NewConflict(pod.Kind.resource(), pod.Name, fmt.Errorf("pod %s is being deleted, cannot be assigned to a host", pod.Name))
	}
	status := child(fields, "status")
	status["conditions"] = append(list(status, "conditions"), map[string]any{
		"type": "PodScheduled", "status": "True", "lastTransitionTime": s.now().UTC().Format(time.RFC3339),
	})
	_, err := s.commit(pod.Kind, pod, fields, false)
	return err
}

// Annotate sets an annotation of an object, as somebody does who has nothing to do with it. An object that is not there stays away.
func (s *Store) Annotate(k *Kind, namespace, name, key, value string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	old, err := s.get(k, namespace, name)
	if err != nil {
		return nil
	}
	next := runtime.DeepCopyJSON(old.fields)
	u := unstructured.Unstructured{Object: next}
	annotations := u.GetAnnotations()
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[key] = value
	u.SetAnnotations(annotations)
	_, err = s.replace(old, next)
	return err
}

// Lose takes away all objects of a kind at once, whatever finalizers they have: as if the server's data were lost.
func (s *Store) Lose(k *Kind) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range s.objectsOf(k, "") {
		if _, err := s.commit(k, o, runtime.DeepCopyJSON(o.fields), true); err != nil {
			return err
		}
	}
	return nil
}
