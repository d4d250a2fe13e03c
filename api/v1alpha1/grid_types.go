package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Grid is a mesh of servers: pods of a StatefulSet that hold one link with each
// other and call each other over it.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:subresource:scale:specpath=.spec.replicas,statuspath=.status.replicas,selectorpath=.status.selector
// +kubebuilder:resource:path=grids,singular=grid,shortName=grd,scope=Namespaced
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.ready`,description="Ready pods, of those wished for"
// +kubebuilder:printcolumn:name="Peers",type=integer,JSONPath=`.status.peers`,description="Names in the published peer list"
// +kubebuilder:printcolumn:name="Links",type=string,JSONPath=`.status.links`,description="Links up, of those expected, counted at both ends"
// +kubebuilder:printcolumn:name="Synced",type=string,JSONPath=`.status.conditions[?(@.type=="PeersSynced")].status`,description="Whether every ready pod uses the newest peer list"
// +kubebuilder:printcolumn:name="Congested",type=integer,JSONPath=`.status.congested`,description="Links that are congested"
// +kubebuilder:printcolumn:name="Version",type=string,JSONPath=`.status.version`,description="Version that the pods run"
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Epoch",type=integer,priority=1,JSONPath=`.status.peerListEpoch`,description="Number of the published peer list"
// +kubebuilder:printcolumn:name="Status",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 40",message="metadata.name must be at most 40 characters: names of pods and services are made from it",fieldPath=".metadata"
// +kubebuilder:validation:XValidation:rule="self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",message="metadata.name must be lower-case letters, digits and '-', begin with a letter and end with a letter or digit: a Service is named after it",fieldPath=".metadata"
type Grid struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec is what is wished for.
	//
	// +required
	Spec GridSpec `json:"spec"`

	// Status is what was observed.
	//
	// +optional
	Status GridStatus `json:"status,omitempty"`
}

// GridList is a list of Grids.
//
// +kubebuilder:object:root=true
type GridList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []Grid `json:"items"`
}

// GridSpec is what is wished for of a Grid. It either has its own StatefulSet
// (image) or adopts one whose pods embed the library (statefulSetRef).
//
// +kubebuilder:validation:XValidation:rule="has(self.image) != has(self.statefulSetRef)",message="set exactly one of image (the operator makes the pods) and statefulSetRef (your own StatefulSet, whose pods embed the library)"
// +kubebuilder:validation:XValidation:rule="has(oldSelf.image) == has(self.image)",message="a Grid cannot change between image and statefulSetRef: delete it and make a new one"
// +kubebuilder:validation:XValidation:rule="!has(self.image) || has(self.replicas)",message="replicas is required with image: say how many pods you want",fieldPath=".replicas",reason="FieldValueRequired"
// +kubebuilder:validation:XValidation:rule="!has(self.statefulSetRef) || !has(self.replicas)",message="replicas is not allowed with statefulSetRef: scale your own StatefulSet, the Grid follows",fieldPath=".replicas",reason="FieldValueForbidden"
// +kubebuilder:validation:XValidation:rule="!has(self.statefulSetRef) || !has(self.podTemplate)",message="podTemplate is not allowed with statefulSetRef: change the template of your own StatefulSet",fieldPath=".podTemplate",reason="FieldValueForbidden"
// +kubebuilder:validation:XValidation:rule="!has(self.statefulSetRef) || !has(self.limits)",message="limits is not allowed with statefulSetRef: set grid.Options.Limits in your program",fieldPath=".limits",reason="FieldValueForbidden"
// +kubebuilder:validation:XValidation:rule="!has(self.image) || self.tls.mode != 'volume' || has(self.tls.volume)",message="tls.volume is required with tls.mode volume and image: say which volume holds the certificate of its pod",fieldPath=".tls.volume",reason="FieldValueRequired"
// +kubebuilder:validation:XValidation:rule="!has(self.statefulSetRef) || !has(self.tls.volume)",message="tls.volume is not allowed with statefulSetRef: mount the volume in the template of your own StatefulSet",fieldPath=".tls.volume",reason="FieldValueForbidden"
// +kubebuilder:validation:XValidation:rule="!has(self.statefulSetRef) || !has(self.storage)",message="storage is not allowed with statefulSetRef: mount a volume at /var/lib/gridmesh in the template of your own StatefulSet",fieldPath=".storage",reason="FieldValueForbidden"
// +kubebuilder:validation:XValidation:rule="(has(self.storage) && has(self.storage.volumeClaimTemplate)) == (has(oldSelf.storage) && has(oldSelf.storage.volumeClaimTemplate))",message="storage.volumeClaimTemplate cannot come or go: Kubernetes keeps that of a StatefulSet as it is. Delete the Grid and make a new one",fieldPath=".storage"
// +kubebuilder:validation:XValidation:rule="self.port != self.adminPort",message="port and adminPort must differ",fieldPath=".adminPort"
type GridSpec struct {
	// Image of the node that the pods run. There is no default, so that an
	// upgrade of the operator restarts nothing.
	//
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule="self.matches('^[^\\\\s]+$')",message="image must not contain white space"
	Image string `json:"image,omitempty"`

	// StatefulSetRef names a StatefulSet of yours, in the same namespace, whose
	// pods embed pkg/grid and carry the label gridmesh.io/grid with this Grid's
	// name. The operator never writes to it.
	//
	// +optional
	StatefulSetRef *StatefulSetReference `json:"statefulSetRef,omitempty"`

	// Replicas is how many pods are wished for, with image only.
	//
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=10000
	Replicas *int32 `json:"replicas,omitempty"`

	// Port on which nodes link with each other.
	//
	// +optional
	// +kubebuilder:default=7700
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="port cannot change: it is part of every node's name. Delete the Grid and make a new one"
	Port int32 `json:"port,omitempty"`

	// AdminPort serves probes, metrics and status, and takes peer lists.
	//
	// +optional
	// +kubebuilder:default=7701
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="adminPort cannot change: delete the Grid and make a new one"
	AdminPort int32 `json:"adminPort,omitempty"`

	// PodTemplate is merged into the pods of a Grid with image as a strategic
	// merge patch; the node is the container named node. Labels, volumes and
	// ports that the operator needs cannot be changed.
	//
	// +optional
	PodTemplate *PodTemplate `json:"podTemplate,omitempty"`

	// TLS says where the certificates of links come from. Without it the
	// operator makes an authority for this Grid.
	//
	// +optional
	// +kubebuilder:default={mode: "self", identity: "grid"}
	TLS TLS `json:"tls,omitempty"`

	// Limits bound what a node takes, of a Grid with image.
	//
	// +optional
	Limits *Limits `json:"limits,omitempty"`

	// Logging says what pods log, and where it is sent.
	//
	// +optional
	Logging *Logging `json:"logging,omitempty"`

	// Audit has calls recorded, and says where the records are sent. Without it
	// nothing is.
	//
	// +optional
	Audit *Audit `json:"audit,omitempty"`

	// Storage is the disk of each pod of a Grid with image, on which entries of
	// log and audit wait for their targets. Without it that is an emptyDir.
	//
	// +optional
	Storage *Storage `json:"storage,omitempty"`

	// DrainTimeout is how long calls may go on after a pod was asked to leave.
	//
	// +optional
	// +kubebuilder:default="30s"
	// +kubebuilder:validation:XValidation:rule="size(self) <= 32 && self.matches('^([0-9]+([.][0-9]+)?(ms|s|m|h))+$') && duration(self) <= duration('24h')",message="drainTimeout must be a duration from 0s to 24h, such as 45s or 1m30s"
	DrainTimeout *metav1.Duration `json:"drainTimeout,omitempty"`

	// Paused stops the operator from changing anything of this Grid but its peer
	// list, which goes on following the pods.
	//
	// +optional
	Paused bool `json:"paused,omitempty"`
}

// StatefulSetReference names a StatefulSet of the same namespace.
//
// +structType=atomic
type StatefulSetReference struct {
	// Name of the StatefulSet.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="statefulSetRef.name cannot change: the peer list would lose everybody at once. Delete the Grid and make a new one"
	Name string `json:"name"`
}
