package v1alpha1

import "k8s.io/apimachinery/pkg/runtime"

// TLSMode says where certificates come from.
//
// +kubebuilder:validation:Enum=self;certManager;secret;volume;none
type TLSMode string

// Where certificates come from.
const (
	// TLSSelf: the operator makes an authority for this Grid, and with it one
	// certificate that all its nodes share.
	TLSSelf TLSMode = "self"
	// TLSCertManager: cert-manager issues the certificate that all nodes share.
	TLSCertManager TLSMode = "certManager"
	// TLSSecret: a Secret of the user's holds tls.crt, tls.key and ca.crt. The
	// operator never reads it.
	TLSSecret TLSMode = "secret"
	// TLSVolume: a volume that gives each pod a certificate of its own, such as
	// the cert-manager CSI driver or podCertificate makes.
	TLSVolume TLSMode = "volume"
	// TLSNone: links in plain text. Whoever is on the way reads and alters all.
	TLSNone TLSMode = "none"
)

// Identity says what a certificate has to prove.
//
// +kubebuilder:validation:Enum=grid;pod
type Identity string

// What a certificate has to prove.
const (
	// IdentityGrid: that its bearer is a member of this Grid.
	IdentityGrid Identity = "grid"
	// IdentityPod: which one member it is, by the URI gridmesh://<grid>/<name>.
	IdentityPod Identity = "pod"
)

// TLS says where the certificates of links come from.
//
// +kubebuilder:validation:XValidation:rule="has(self.certManager) == (self.mode == 'certManager')",message="tls.certManager goes with tls.mode certManager, and only with it",fieldPath=".certManager"
// +kubebuilder:validation:XValidation:rule="has(self.secret) == (self.mode == 'secret')",message="tls.secret goes with tls.mode secret, and only with it",fieldPath=".secret"
// +kubebuilder:validation:XValidation:rule="!has(self.volume) || self.mode == 'volume'",message="tls.volume goes with tls.mode volume only",fieldPath=".volume",reason="FieldValueForbidden"
// +kubebuilder:validation:XValidation:rule="self.identity != 'pod' || self.mode == 'volume'",message="tls.identity pod needs a certificate for each pod: use tls.mode volume (the cert-manager CSI driver, or a podCertificate volume)",fieldPath=".identity"
// +kubebuilder:validation:XValidation:rule="(self.mode == 'none') == (oldSelf.mode == 'none')",message="a Grid cannot change between TLS and plain text: its nodes could not link with each other meanwhile. Delete it and make a new one",fieldPath=".mode"
type TLS struct {
	// Mode is self, certManager, secret, volume or none.
	//
	// +optional
	// +kubebuilder:default=self
	Mode TLSMode `json:"mode,omitempty"`

	// CertManager names who issues the certificate, in mode certManager.
	//
	// +optional
	CertManager *CertManager `json:"certManager,omitempty"`

	// Secret names the certificate's Secret, in mode secret.
	//
	// +optional
	Secret *SecretTLS `json:"secret,omitempty"`

	// Volume is the source of a volume that holds tls.crt, tls.key and ca.crt for
	// its one pod, in mode volume with image: what stands beside "name" in a
	// pod's volume, such as csi or projected.
	//
	// +optional
	// +mapType=atomic
	// +kubebuilder:validation:MinProperties=1
	// +kubebuilder:validation:MaxProperties=1
	// +kubebuilder:pruning:PreserveUnknownFields
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:validation:Type=object
	Volume *runtime.RawExtension `json:"volume,omitempty"`

	// Identity is grid (a certificate that all members share will do) or pod
	// (it must name its one pod).
	//
	// +optional
	// +kubebuilder:default=grid
	Identity Identity `json:"identity,omitempty"`
}

// CertManager names an issuer of cert-manager.
type CertManager struct {
	// IssuerRef is the issuer.
	//
	// +required
	IssuerRef IssuerRef `json:"issuerRef"`
}

// IssuerRef names an issuer.
//
// +structType=atomic
type IssuerRef struct {
	// Name of the issuer.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`

	// Kind of the issuer: Issuer, ClusterIssuer, or one of another group.
	//
	// +optional
	// +kubebuilder:default=Issuer
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Kind string `json:"kind,omitempty"`

	// Group of the issuer.
	//
	// +optional
	// +kubebuilder:default=cert-manager.io
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Group string `json:"group,omitempty"`
}

// SecretTLS names a Secret with tls.crt, tls.key and ca.crt.
type SecretTLS struct {
	// Name of the Secret.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`

	// CA holds the authorities of the certificate as PEM. With it the operator
	// knows the nodes that answer it; without, what they say feeds the status
	// and no decision, since the operator does not read the Secret.
	//
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=65536
	// +kubebuilder:validation:XValidation:rule="self.contains('-----BEGIN CERTIFICATE-----')",message="tls.secret.ca must hold certificates as PEM: paste what ca.crt of the Secret holds"
	CA string `json:"ca,omitempty"`
}
