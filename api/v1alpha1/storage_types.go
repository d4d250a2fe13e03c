package v1alpha1

import "k8s.io/apimachinery/pkg/api/resource"

// Storage is the disk of each pod: what waits for a target of logging or audit,
// and the last good peer list.
//
// +kubebuilder:validation:XValidation:rule="has(self.emptyDir) != has(self.volumeClaimTemplate)",message="set exactly one of storage.emptyDir (it ends with its pod) and storage.volumeClaimTemplate (it outlives its pod)"
type Storage struct {
	// EmptyDir is a folder of the machine: it outlives a crash of the node, and
	// ends with its pod. Without storage this is what pods have.
	//
	// +optional
	EmptyDir *StorageEmptyDir `json:"emptyDir,omitempty"`

	// VolumeClaimTemplate has Kubernetes make a claim for each pod, which a pod of
	// the same name finds again. Claims stay when the Grid shrinks or is deleted.
	//
	// +optional
	VolumeClaimTemplate *StorageClaim `json:"volumeClaimTemplate,omitempty"`
}

// StorageEmptyDir is a folder of the machine.
type StorageEmptyDir struct {
	// SizeLimit is how much a pod may keep there before it is evicted. All spools
	// have to fit.
	//
	// +required
	// +kubebuilder:validation:XValidation:rule="size(string(self)) <= 32 && quantity(string(self)).compareTo(quantity('16Mi')) >= 0 && quantity(string(self)).compareTo(quantity('16Ti')) <= 0",message="storage.emptyDir.sizeLimit must be between 16Mi and 16Ti"
	SizeLimit resource.Quantity `json:"sizeLimit"`
}

// StorageClaim is what a claim asks for, by the words of a PersistentVolumeClaim.
//
// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="storage.volumeClaimTemplate cannot change: Kubernetes keeps that of a StatefulSet as it is. Change the claims of the pods themselves, or delete the Grid and make a new one"
type StorageClaim struct {
	// StorageClassName names the class; without it, it is the cluster's default.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=253
	StorageClassName *string `json:"storageClassName,omitempty"`

	// AccessModes of the claim.
	//
	// +optional
	// +listType=set
	// +kubebuilder:default={"ReadWriteOnce"}
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=3
	AccessModes []AccessMode `json:"accessModes,omitempty"`

	// Resources of the claim.
	//
	// +required
	Resources ClaimResources `json:"resources"`
}

// AccessMode says who may mount a claim.
//
// +kubebuilder:validation:Enum=ReadWriteOnce;ReadWriteOncePod;ReadWriteMany
type AccessMode string

// ClaimResources is how large a claim is.
type ClaimResources struct {
	// Requests is what it has at least.
	//
	// +required
	Requests ClaimRequests `json:"requests"`
}

// ClaimRequests is how large a claim is at least.
type ClaimRequests struct {
	// Storage in bytes. All spools have to fit.
	//
	// +required
	// +kubebuilder:validation:XValidation:rule="size(string(self)) <= 32 && quantity(string(self)).compareTo(quantity('16Mi')) >= 0 && quantity(string(self)).compareTo(quantity('1Pi')) <= 0",message="storage of a claim must be between 16Mi and 1Pi"
	Storage resource.Quantity `json:"storage"`
}
