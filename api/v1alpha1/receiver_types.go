package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// WebhookFormat says what the body of a request is.
//
// +kubebuilder:validation:Enum=ndjson;json;loki;elasticsearch
type WebhookFormat string

// Formats of webhooks.
const (
	// FormatNDJSON: one entry a line, as Vector, Fluent Bit and most others take it.
	FormatNDJSON WebhookFormat = "ndjson"
	// FormatJSON: one array.
	FormatJSON WebhookFormat = "json"
	// FormatLoki: the push API of Loki.
	FormatLoki WebhookFormat = "loki"
	// FormatElasticsearch: the bulk API of Elasticsearch and OpenSearch.
	FormatElasticsearch WebhookFormat = "elasticsearch"
)

// Webhook is a URL that batches are posted to. Any answer 2xx says that the batch
// has arrived; after 400, 413 or 422 what the receiver does not take is set
// aside; after anything else the batch is sent again.
//
// +kubebuilder:validation:XValidation:rule="!has(self.labels) || self.format == 'loki'",message="webhook.labels are of Loki's streams: set format loki, or leave labels out"
type Webhook struct {
	// URL of the receiver.
	//
	// +required
	URL ReceiverURL `json:"url"`

	// Format of the body.
	//
	// +optional
	// +kubebuilder:default=ndjson
	Format WebhookFormat `json:"format,omitempty"`

	// Labels of the stream, in format loki.
	//
	// +optional
	// +kubebuilder:validation:MaxProperties=16
	// +kubebuilder:validation:XValidation:rule="self.all(k, size(k) <= 128 && k.matches('^[a-zA-Z_][a-zA-Z0-9_]*$'))",message="the name of a label of Loki must be at most 128 letters, digits and '_', and not begin with a digit"
	Labels map[string]ReceiverValue `json:"labels,omitempty"`

	// Headers of each request. They stand in a ConfigMap: what is secret belongs
	// into secretRef.
	//
	// +optional
	// +kubebuilder:validation:MaxProperties=16
	// +kubebuilder:validation:XValidation:rule="self.all(k, size(k) <= 128 && k.matches('^[A-Za-z0-9][-A-Za-z0-9_.]*$'))",message="the name of a header must be at most 128 letters, digits, '-', '_' and '.'"
	// +kubebuilder:validation:XValidation:rule="!self.exists(k, k.lowerAscii() == 'authorization')",message="authorization stays out of headers, which many may read: put the key token into the Secret of secretRef"
	Headers map[string]ReceiverValue `json:"headers,omitempty"`

	// Proxy is the URL of a proxy on the way; without it there is none.
	//
	// +optional
	Proxy ReceiverURL `json:"proxy,omitempty"`

	// Gzip packs each request.
	//
	// +optional
	Gzip bool `json:"gzip,omitempty"`

	// Timeout of a request. The default is 10s.
	//
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=16
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]+([.][0-9]+)?(ms|s|m))+$') && duration(self) >= duration('1s') && duration(self) <= duration('5m')",message="the timeout of a target must be a duration from 1s to 5m, such as 10s"
	Timeout *metav1.Duration `json:"timeout,omitempty"`

	// ServerName is whom the receiver's certificate must name, if not the URL's
	// host.
	//
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	ServerName string `json:"serverName,omitempty"`

	// SecretRef names a Secret with, as far as needed: ca.crt, who vouches for the
	// receiver; tls.crt and tls.key, the certificate shown to it; token, sent as a
	// bearer token.
	//
	// +optional
	SecretRef *TargetSecret `json:"secretRef,omitempty"`
}

// OTLP is a receiver of OpenTelemetry, over HTTP with protobuf.
type OTLP struct {
	// URL that logs are posted to, as https://collector:4318/v1/logs.
	//
	// +required
	URL ReceiverURL `json:"url"`

	// Headers of each request. They stand in a ConfigMap: what is secret belongs
	// into secretRef.
	//
	// +optional
	// +kubebuilder:validation:MaxProperties=16
	// +kubebuilder:validation:XValidation:rule="self.all(k, size(k) <= 128 && k.matches('^[A-Za-z0-9][-A-Za-z0-9_.]*$'))",message="the name of a header must be at most 128 letters, digits, '-', '_' and '.'"
	// +kubebuilder:validation:XValidation:rule="!self.exists(k, k.lowerAscii() == 'authorization')",message="authorization stays out of headers, which many may read: put the key token into the Secret of secretRef"
	Headers map[string]ReceiverValue `json:"headers,omitempty"`

	// Gzip packs each request.
	//
	// +optional
	Gzip bool `json:"gzip,omitempty"`

	// Timeout of a request. The default is 10s.
	//
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=16
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]+([.][0-9]+)?(ms|s|m))+$') && duration(self) >= duration('1s') && duration(self) <= duration('5m')",message="the timeout of a target must be a duration from 1s to 5m, such as 10s"
	Timeout *metav1.Duration `json:"timeout,omitempty"`

	// ServerName is whom the receiver's certificate must name, if not the URL's
	// host.
	//
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	ServerName string `json:"serverName,omitempty"`

	// SecretRef names a Secret with, as far as needed: ca.crt, who vouches for the
	// receiver; tls.crt and tls.key, the certificate shown to it; token, sent as a
	// bearer token.
	//
	// +optional
	SecretRef *TargetSecret `json:"secretRef,omitempty"`
}

// TargetSecret names a Secret of the same namespace. The operator never reads it:
// it is mounted in the pods, which take another content without a restart. A
// Secret, or a key of it, that is not there counts as not given.
//
// +structType=atomic
type TargetSecret struct {
	// Name of the Secret.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')",message="secretRef.name must be the name of a Secret: lower-case letters, digits, '-' and '.'"
	Name string `json:"name"`
}

// ReceiverURL is where a receiver is.
//
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=1024
// +kubebuilder:validation:XValidation:rule="self.matches('^https?://[^/?#@\\\\s]+([/?][^\\\\s]*)?$')",message="the URL of a target must begin with https:// or http:// and a host, and name no user: what is secret belongs into the Secret of secretRef"
type ReceiverURL string

// ReceiverValue is the value of a header or a label.
//
// +kubebuilder:validation:MaxLength=512
// +kubebuilder:validation:XValidation:rule="!self.matches('[\\\\r\\\\n]')",message="the value of a header or label must be one line"
type ReceiverValue string
