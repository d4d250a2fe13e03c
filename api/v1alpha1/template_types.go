package v1alpha1

import (
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/runtime"
)

// PodTemplate is what a user adds to the pods.
type PodTemplate struct {
	// Metadata holds labels and annotations for the pods.
	//
	// +optional
	Metadata *PodMetadata `json:"metadata,omitempty"`

	// Spec is any part of a pod's spec. It has no schema here, so that this
	// resource stays small and every field of every Kubernetes can be set; what
	// does not fit shows in the condition Accepted.
	//
	// +optional
	// +kubebuilder:pruning:PreserveUnknownFields
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:validation:Type=object
	Spec *runtime.RawExtension `json:"spec,omitempty"`
}

// PodMetadata holds labels and annotations.
type PodMetadata struct {
	// Labels of the pods.
	//
	// +optional
	// +kubebuilder:validation:MaxProperties=64
	// +kubebuilder:validation:XValidation:rule="!self.exists(k, k.startsWith('gridmesh.io/') || k.startsWith('app.kubernetes.io/'))",message="labels of gridmesh.io/ and app.kubernetes.io/ are the operator's: choose another prefix"
	// +kubebuilder:validation:XValidation:rule="self.all(k, size(k) <= 317 && k.matches('^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$'))",message="the name of a label must be at most 63 letters, digits, '-', '_' and '.', with a DNS name and '/' before them or not"
	Labels map[string]LabelValue `json:"labels,omitempty"`

	// Annotations of the pods.
	//
	// +optional
	// +kubebuilder:validation:MaxProperties=64
	// +kubebuilder:validation:XValidation:rule="!self.exists(k, k.startsWith('gridmesh.io/'))",message="annotations of gridmesh.io/ are the operator's: choose another prefix"
	// +kubebuilder:validation:XValidation:rule="self.all(k, size(k) <= 317 && k.matches('^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$'))",message="the name of an annotation must be at most 63 letters, digits, '-', '_' and '.', with a DNS name and '/' before them or not"
	Annotations map[string]AnnotationValue `json:"annotations,omitempty"`
}

// LabelValue is the value of a label.
//
// +kubebuilder:validation:MaxLength=63
// +kubebuilder:validation:XValidation:rule="self.matches('^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$')",message="the value of a label must be letters, digits, '-', '_' and '.', and begin and end with a letter or digit"
type LabelValue string

// AnnotationValue is the value of an annotation.
//
// +kubebuilder:validation:MaxLength=16384
type AnnotationValue string

// Limits bound what a node takes. They are the node's settings of these names.
type Limits struct {
	// MaxMessage is the largest request, reply or message of a stream in bytes.
	//
	// +optional
	// +kubebuilder:validation:XValidation:rule="size(string(self)) <= 32 && quantity(string(self)).compareTo(quantity('1Ki')) >= 0 && quantity(string(self)).compareTo(quantity('1Gi')) <= 0",message="maxMessage must be between 1Ki and 1Gi"
	MaxMessage *resource.Quantity `json:"maxMessage,omitempty"`

	// MaxCalls is how many calls of one peer run at once; more are refused as
	// overload.
	//
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1048576
	MaxCalls *int32 `json:"maxCalls,omitempty"`

	// MaxMemory bounds each of three over all links, in bytes: requests held by
	// running handlers, large replies, large stream messages that are unread.
	//
	// +optional
	// +kubebuilder:validation:XValidation:rule="size(string(self)) <= 32 && quantity(string(self)).compareTo(quantity('1Mi')) >= 0 && quantity(string(self)).compareTo(quantity('1Ti')) <= 0",message="maxMemory must be between 1Mi and 1Ti"
	MaxMemory *resource.Quantity `json:"maxMemory,omitempty"`
}
