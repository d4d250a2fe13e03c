package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Types of conditions.
const (
	// ConditionAccepted: the spec can be carried out.
	ConditionAccepted = "Accepted"
	// ConditionReady: all pods wished for are ready, of the newest template, and
	// use the newest list.
	ConditionReady = "Ready"
	// ConditionProgressing: a change is rolling out.
	ConditionProgressing = "Progressing"
	// ConditionDegraded: it works, but for less than was wished for.
	ConditionDegraded = "Degraded"
	// ConditionPeersSynced: every ready pod has said that it uses the newest list.
	ConditionPeersSynced = "PeersSynced"
	// ConditionCongested: links are congested.
	ConditionCongested = "Congested"
	// ConditionPaused: the operator changes nothing but the peer list.
	ConditionPaused = "Paused"
)

// GridStatus is what was observed of a Grid, never what was wished for.
type GridStatus struct {
	// ObservedGeneration is the generation of the spec that this status is about.
	//
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// Replicas is how many pods there are.
	//
	// +optional
	Replicas int32 `json:"replicas"`

	// ReadyReplicas is how many of them are ready.
	//
	// +optional
	ReadyReplicas int32 `json:"readyReplicas"`

	// Selector selects the pods, for the scale subresource.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Selector string `json:"selector,omitempty"`

	// Ready is "ready/wished for".
	//
	// +optional
	// +kubebuilder:validation:MaxLength=32
	Ready string `json:"ready,omitempty"`

	// Peers is how many names the published peer list has.
	//
	// +optional
	Peers int32 `json:"peers"`

	// Links is "up/expected", each link counted at both its ends: n(n-1) for n
	// pods. "unknown" stands for what no pod has told.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=32
	Links string `json:"links,omitempty"`

	// Congested is how many links are congested, counted at both ends.
	//
	// +optional
	Congested int32 `json:"congested"`

	// PeerListEpoch is the number of the published peer list.
	//
	// +optional
	PeerListEpoch int64 `json:"peerListEpoch,omitempty"`

	// Version is what the pods run; during an upgrade "old..new".
	//
	// +optional
	// +kubebuilder:validation:MaxLength=256
	Version string `json:"version,omitempty"`

	// Conditions are Accepted, Ready, Progressing, Degraded, PeersSynced,
	// Congested and Paused.
	//
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// Members are the pods, the worst 50 first in line.
	//
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=50
	Members []Member `json:"members,omitempty"`
}

// Member is what one pod has said of itself.
type Member struct {
	// Name of the pod.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`

	// Ready is whether the pod is ready, as Kubernetes sees it.
	//
	// +optional
	Ready bool `json:"ready"`

	// Epoch of the peer list that the node uses.
	//
	// +optional
	Epoch int64 `json:"epoch,omitempty"`

	// LinksUp is how many peers the node is linked with.
	//
	// +optional
	LinksUp *int32 `json:"linksUp,omitempty"`

	// CertificateExpires is when the node's certificate ends.
	//
	// +optional
	CertificateExpires *metav1.Time `json:"certificateExpires,omitempty"`

	// Version of the node.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=128
	Version string `json:"version,omitempty"`

	// LastHeard is when the node was heard last; only of one that is silent.
	//
	// +optional
	LastHeard *metav1.Time `json:"lastHeard,omitempty"`

	// Message says what is wrong, if something is.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=256
	Message string `json:"message,omitempty"`
}
