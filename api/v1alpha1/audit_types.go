package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// AuditPolicy says what happens to a call whose record cannot be kept.
//
// +kubebuilder:validation:Enum=drop;block
type AuditPolicy string

// Policies of audit targets.
const (
	// AuditDrop: the call goes on. The record is dropped and counted, and the gap
	// is recorded.
	AuditDrop AuditPolicy = "drop"
	// AuditBlock: the call is answered when its record is on the pod's disk, and
	// fails as unavailable if it does not get there.
	AuditBlock AuditPolicy = "block"
)

// AuditDirection says whose call it is.
//
// +kubebuilder:validation:Enum=in;out
type AuditDirection string

// Directions of calls.
const (
	// AuditIn: a peer has called this pod.
	AuditIn AuditDirection = "in"
	// AuditOut: this pod has called a peer.
	AuditOut AuditDirection = "out"
)

// Audit says which calls are recorded, and where the records go: who called what,
// with what result, and what happens to the mesh. Pods take a change of it
// without a restart, unless it names another Secret.
type Audit struct {
	// Outgoing has a pod record calls that it makes, too. Whoever is called
	// records them anyway.
	//
	// +optional
	Outgoing bool `json:"outgoing,omitempty"`

	// Timeout is how long a call waits for its record, where a target has the
	// policy block. The default is 10s.
	//
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=16
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]+([.][0-9]+)?(ms|s|m))+$') && duration(self) >= duration('10ms') && duration(self) <= duration('5m')",message="audit.timeout must be a duration from 10ms to 5m, such as 10s"
	Timeout *metav1.Duration `json:"timeout,omitempty"`

	// Filter says which calls and streams are recorded: the first rule that
	// matches decides, and what none matches is recorded.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	Filter []AuditRule `json:"filter,omitempty"`

	// Targets are where records go, each on its own.
	//
	// +required
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	Targets []AuditTarget `json:"targets"`
}

// AuditRule matches a call if each of its lists that is given has a pattern that
// matches. In a pattern * stands for anything; ! in front turns it round.
type AuditRule struct {
	// Handlers that are called.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	Handlers []AuditPattern `json:"handlers,omitempty"`

	// Peers at the other end, by their names host:port.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	Peers []AuditPattern `json:"peers,omitempty"`

	// Results, such as ok, canceled, or an error's code.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	Results []AuditPattern `json:"results,omitempty"`

	// Direction of the call, if it matters.
	//
	// +optional
	Direction AuditDirection `json:"direction,omitempty"`

	// Drop says that what matches is not recorded.
	//
	// +optional
	Drop bool `json:"drop,omitempty"`
}

// AuditPattern is a text in which * stands for anything.
//
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=128
// +kubebuilder:validation:XValidation:rule="self != '!'",message="a pattern is a text in which * stands for anything, or ! and such a text"
type AuditPattern string

// AuditTarget is a place that records go to.
//
// +kubebuilder:validation:XValidation:rule="[has(self.console), has(self.webhook), has(self.otlp), has(self.kafka)].filter(given, given).size() == 1",message="give a target of audit exactly one of console, webhook, otlp and kafka: where its records go"
// +kubebuilder:validation:XValidation:rule="!has(self.console) || !has(self.batch) && !has(self.spool)",message="a target of audit with console writes at once: leave batch and spool out"
// +kubebuilder:validation:XValidation:rule="!has(self.console) || self.policy != 'block'",message="policy block is for targets with a spool: console has none, use policy drop, or another target besides"
type AuditTarget struct {
	// Name of the target, in metrics and on disk: what waits for it is found
	// again under this name.
	//
	// +required
	Name TargetName `json:"name"`

	// Policy is drop or block.
	//
	// +optional
	// +kubebuilder:default=drop
	Policy AuditPolicy `json:"policy,omitempty"`

	// Console writes records to the pod's own output, which kubectl logs shows.
	//
	// +optional
	Console *AuditConsole `json:"console,omitempty"`

	// Webhook posts records to a URL.
	//
	// +optional
	Webhook *Webhook `json:"webhook,omitempty"`

	// OTLP exports records as OpenTelemetry has it, over HTTP.
	//
	// +optional
	OTLP *OTLP `json:"otlp,omitempty"`

	// Kafka produces records to a topic.
	//
	// +optional
	Kafka *Kafka `json:"kafka,omitempty"`

	// Batch says how many records are sent at once.
	//
	// +optional
	Batch *Batch `json:"batch,omitempty"`

	// Spool bounds what waits on disk while the target cannot be reached.
	//
	// +optional
	Spool *Spool `json:"spool,omitempty"`
}

// AuditConsole is the pod's own output. There is nothing to set.
type AuditConsole struct{}

// Kafka is a topic that records are produced to, all of a pod in one partition.
//
// +kubebuilder:validation:XValidation:rule="has(self.sasl) == has(self.user)",message="kafka.sasl and kafka.user go together: say how to log in, and as whom"
// +kubebuilder:validation:XValidation:rule="!has(self.sasl) || has(self.secretRef)",message="kafka.sasl needs secretRef: the Secret has the key password"
// +kubebuilder:validation:XValidation:rule="!has(self.serverName) || has(self.tls) && self.tls",message="kafka.serverName is for TLS: set kafka.tls, or leave it out"
type Kafka struct {
	// Brokers as host:port; one that answers tells of the others.
	//
	// +required
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	Brokers []KafkaBroker `json:"brokers"`

	// Topic, which has to be there.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=249
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-zA-Z0-9._-]+$') && self != '.' && self != '..'",message="kafka.topic must be letters, digits, '.', '_' and '-'"
	Topic string `json:"topic"`

	// TLS says that brokers speak it. Who vouches for them are the authorities of
	// the image, unless the Secret has ca.crt.
	//
	// +optional
	TLS bool `json:"tls,omitempty"`

	// ServerName is whom the brokers' certificates must name, if not their hosts.
	//
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	ServerName string `json:"serverName,omitempty"`

	// SASL says how pods log in; their password is in the Secret.
	//
	// +optional
	SASL KafkaSASL `json:"sasl,omitempty"`

	// User that logs in.
	//
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	User string `json:"user,omitempty"`

	// Timeout of a batch. The default is 30s.
	//
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=16
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]+([.][0-9]+)?(ms|s|m))+$') && duration(self) >= duration('1s') && duration(self) <= duration('5m')",message="the timeout of a target must be a duration from 1s to 5m, such as 10s"
	Timeout *metav1.Duration `json:"timeout,omitempty"`

	// SecretRef names a Secret with, as far as needed: ca.crt, who vouches for the
	// brokers; tls.crt and tls.key, the certificate shown to them; password, for
	// sasl.
	//
	// +optional
	SecretRef *TargetSecret `json:"secretRef,omitempty"`
}

// KafkaBroker is a broker's address.
//
// +kubebuilder:validation:MinLength=3
// +kubebuilder:validation:MaxLength=260
// +kubebuilder:validation:XValidation:rule="self.matches('^([^:/@\\\\s]+|\\\\[[0-9a-fA-F:.]+\\\\]):[1-9][0-9]{0,4}$')",message="a broker must be host:port"
type KafkaBroker string

// KafkaSASL says how a password is proven.
//
// +kubebuilder:validation:Enum=plain;scram-sha-256;scram-sha-512
type KafkaSASL string
