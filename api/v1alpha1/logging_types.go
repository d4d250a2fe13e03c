package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// LogLevel says how serious an entry is at least.
//
// +kubebuilder:validation:Enum=debug;info;warn;error
type LogLevel string

// Levels of the log.
const (
	LevelDebug LogLevel = "debug"
	LevelInfo  LogLevel = "info"
	LevelWarn  LogLevel = "warn"
	LevelError LogLevel = "error"
)

// Logging says what pods log, and where to besides their own output, which
// kubectl logs shows. Pods take a change of it without a restart, unless it names
// another Secret.
type Logging struct {
	// Level of the pod's own output, and of targets that have none. The default
	// is info. It takes the place of the node's setting log-level.
	//
	// +optional
	Level LogLevel `json:"level,omitempty"`

	// Targets are where entries are sent, each on its own.
	//
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=8
	Targets []LogTarget `json:"targets,omitempty"`
}

// LogTarget is a place that entries of the log are sent to.
//
// +kubebuilder:validation:XValidation:rule="has(self.webhook) != has(self.otlp)",message="give a target of logging exactly one of webhook and otlp: where its entries go"
// +kubebuilder:validation:XValidation:rule="self.name != 'console'",message="console is what the pod's own output is called, which is always there: give a target of logging another name"
type LogTarget struct {
	// Name of the target, in metrics and on disk: what waits for it is found
	// again under this name.
	//
	// +required
	Name TargetName `json:"name"`

	// Level that an entry has at least to be sent.
	//
	// +optional
	Level LogLevel `json:"level,omitempty"`

	// Webhook posts entries to a URL.
	//
	// +optional
	Webhook *Webhook `json:"webhook,omitempty"`

	// OTLP exports entries as OpenTelemetry has it, over HTTP.
	//
	// +optional
	OTLP *OTLP `json:"otlp,omitempty"`

	// Batch says how many entries are sent at once.
	//
	// +optional
	Batch *Batch `json:"batch,omitempty"`

	// Spool bounds what waits on disk while the target cannot be reached.
	//
	// +optional
	Spool *Spool `json:"spool,omitempty"`
}

// TargetName is the name of a target, unique among its like.
//
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=63
// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",message="the name of a target must be lower-case letters, digits and '-', begin with a letter and end with a letter or digit: a folder is named after it"
type TargetName string

// Batch says when entries are sent together: when one of these is reached.
type Batch struct {
	// Entries of a batch at most.
	//
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100000
	Entries *int32 `json:"entries,omitempty"`

	// Bytes of a batch at most.
	//
	// +optional
	// +kubebuilder:validation:XValidation:rule="!isQuantity(self) || quantity(self).compareTo(quantity('1Ki')) >= 0 && quantity(self).compareTo(quantity('16Mi')) <= 0",message="batch.bytes must be between 1Ki and 16Mi"
	Bytes Size `json:"bytes,omitempty"`

	// Age of a batch's oldest entry at most.
	//
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=16
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]+([.][0-9]+)?(ms|s|m))+$') && duration(self) >= duration('1ms') && duration(self) <= duration('5m')",message="batch.age must be a duration from 1ms to 5m, such as 500ms"
	Age *metav1.Duration `json:"age,omitempty"`
}

// Spool is the queue on a pod's disk in which entries wait for a target. What
// finds no room in it is counted, and told of in a record of its own.
type Spool struct {
	// MaxBytes is how large it may become. The default is 256Mi. All spools of a
	// pod must fit into its storage.
	//
	// +optional
	// +kubebuilder:validation:XValidation:rule="!isQuantity(self) || quantity(self).compareTo(quantity('1Mi')) >= 0 && quantity(self).compareTo(quantity('1Ti')) <= 0",message="spool.maxBytes must be between 1Mi and 1Ti"
	MaxBytes Size `json:"maxBytes,omitempty"`
}

// Size is a number of bytes, as in 512Ki, 64Mi or 2Gi.
//
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=16
// +kubebuilder:validation:XValidation:rule="self.matches('^[1-9][0-9]{0,8}(Ki|Mi|Gi|Ti)?$')",message="a size must be a whole number of bytes with Ki, Mi, Gi or Ti behind it or nothing, such as 64Mi"
type Size string
