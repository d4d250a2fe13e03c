package controllers

import (
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"github.com/gridmesh/gridmesh/api/v1alpha1"
)

// gridOf reads a Grid's spec, with the API's defaults.
func gridOf(t *testing.T, spec string) *v1alpha1.Grid {
	t.Helper()
	g := &v1alpha1.Grid{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "demo", UID: "1234", Generation: 1}}
	replicas := int32(3)
	g.Spec = v1alpha1.GridSpec{
		Image: "gridmesh/node:v1", Replicas: &replicas, Port: 7700, AdminPort: 7701,
		TLS: v1alpha1.TLS{Mode: v1alpha1.TLSSelf, Identity: v1alpha1.IdentityGrid}, DrainTimeout: &metav1.Duration{Duration: 30 * time.Second},
	}
	if err := yaml.UnmarshalStrict([]byte(spec), &g.Spec); err != nil {
		t.Fatal(err)
	}
	return g
}

func withPodSpec(t *testing.T, spec string) *v1alpha1.Grid {
	t.Helper()
	g := gridOf(t, "")
	text, err := yaml.YAMLToJSON([]byte(spec))
	if err != nil {
		t.Fatal(err)
	}
	g.Spec.PodTemplate = &v1alpha1.PodTemplate{Spec: &runtime.RawExtension{Raw: text}}
	return g
}

func TestTemplatesThatAreRefused(t *testing.T) {
	for _, c := range []struct{ name, spec, want string }{
		{"the node's container taken away", `containers: [{name: node, $patch: delete}]`, "the container node must stay"},
		{"all containers replaced", `{containers: [{$patch: replace}, {name: other, image: x}]}`, "the container node must stay"},
		{"a node that only starts", `initContainers: [{name: node, image: x}]`, "the container node must stay"},
		{"another image", `containers: [{name: node, image: other}]`, "say it in spec.image"},
		{"another command", `containers: [{name: node, command: [sh]}]`, "command is the operator's"},
		{"a setting of ours as an argument", `containers: [{name: node, args: [--log-level=debug, --kubernetes-dir=/elsewhere]}]`, "args: --kubernetes-dir is the operator's"},
		{"the same in two words", `containers: [{name: node, args: [-peers-save, /elsewhere]}]`, "args: --peers-save is the operator's"},
		{"a setting of ours", `containers: [{name: node, env: [{name: GRID_KUBERNETES_DIR, value: /elsewhere}]}]`, "env: GRID_KUBERNETES_DIR is the operator's"},
		{"the pod's name", `containers: [{name: node, env: [{name: POD_NAME, value: x}]}]`, "env: POD_NAME is the operator's"},
		{"a port by another name", `containers: [{name: node, ports: [{containerPort: 7700, name: other}]}]`, "ports: grid (7700) is the operator's"},
		{"a port by another protocol", `containers: [{name: node, ports: [{containerPort: 7701, protocol: UDP}]}]`, "ports: admin (7701) is the operator's"},
		{"a port of ours in another container", `containers: [{name: side, image: x, ports: [{containerPort: 7701}]}]`, "spec.containers[side].ports: 7701 is the node's port admin"},
		{"the list's volume", `volumes: [{name: grid, configMap: {name: other}}]`, "spec.volumes: grid is the operator's"},
		{"the certificate's volume", `volumes: [{name: tls, secret: {secretName: other}}]`, "spec.volumes: tls is the operator's"},
		{"a volume taken away", `volumes: [{name: state, $patch: delete}]`, "spec.volumes: state is the operator's"},
		{"another mount at our path", `{volumes: [{name: v, emptyDir: {}}], containers: [{name: node, volumeMounts: [{mountPath: /etc/gridmesh/grid, name: v}]}]}`, "volumeMounts: /etc/gridmesh/grid is the operator's"},
		{"a part of our volume", `containers: [{name: node, volumeMounts: [{mountPath: /etc/gridmesh/tls, subPath: x}]}]`, "volumeMounts: /etc/gridmesh/tls is the operator's"},
		{"a mount in the folder of Secrets", `{volumes: [{name: v, emptyDir: {}}], containers: [{name: node, volumeMounts: [{mountPath: /etc/gridmesh/targets/x, name: v}]}]}`, "/etc/gridmesh/targets/x lies in a folder of the operator's"},
		{"a mount over our folder", `{volumes: [{name: v, emptyDir: {}}], containers: [{name: node, volumeMounts: [{mountPath: /etc/gridmesh, name: v}]}]}`, "/etc/gridmesh lies in a folder of the operator's"},
		{"a mount in our folder", `{volumes: [{name: v, emptyDir: {}}], containers: [{name: node, volumeMounts: [{mountPath: /etc/gridmesh/grid/x, name: v}]}]}`, "/etc/gridmesh/grid/x lies in a folder of the operator's"},
		{"a host name", `hostname: x`, "a node is known by its pod's name"},
		{"a subdomain", `subdomain: x`, "a node is known by its pod's name"},
		{"pods that end", `restartPolicy: Never`, "can only be Always"},
		{"no time to drain", `terminationGracePeriodSeconds: 34`, "must be at least 35, drainTimeout and 5s"},
		{"a list where none is", `containers: {name: node}`, "spec.containers"},
		{"a number where none is", `priority: high`, "string into Go struct field"},
	} {
		merged, refused := mergeTemplate(withPodSpec(t, c.spec))
		if refused == nil || !strings.Contains(refused.message, c.want) || refused.reason != reasonTemplateRefused {
			t.Errorf("%s: %v, %v, want %q", c.name, merged, refused, c.want)
		}
	}
}

func TestLabelsOfOursAreRefused(t *testing.T) {
	for want, m := range map[string]*v1alpha1.PodMetadata{
		"gridmesh.io/grid is":     {Labels: map[string]v1alpha1.LabelValue{"gridmesh.io/grid": "x"}},
		"gridmesh.io/settings is": {Annotations: map[string]v1alpha1.AnnotationValue{"gridmesh.io/settings": "x"}},
	} {
		g := gridOf(t, "")
		g.Spec.PodTemplate = &v1alpha1.PodTemplate{Metadata: m}
		if _, refused := mergeTemplate(g); refused == nil || !strings.Contains(refused.message, want) {
			t.Errorf("%v, want %q", refused, want)
		}
	}
}

func TestTemplatesThatAreMerged(t *testing.T) {
	for _, c := range []struct{ name, spec string }{
		{"resources", `containers: [{name: node, resources: {requests: {cpu: "0.1"}, limits: {memory: 1Gi}}}]`},
		{"arguments and variables", `containers: [{name: node, args: [--log-level=debug, --bench], env: [{name: GRID_LOG_FORMAT, value: json}]}]`},
		{"a sidecar", `{containers: [{name: side, image: x, ports: [{containerPort: 9000}, {containerPort: 7700, protocol: UDP}]}], initContainers: [{name: first, image: z}]}`},
		{"a port on the host", `containers: [{name: node, ports: [{containerPort: 7700, name: grid, hostPort: 7700}]}]`},
		{"a further port and mount", `{volumes: [{name: v, emptyDir: {}}], containers: [{name: node, ports: [{containerPort: 9000}], volumeMounts: [{mountPath: /data, name: v}]}]}`},
		{"the host's network", `hostNetwork: true`},
		{"scheduling", `{nodeSelector: {a: b}, tolerations: [{operator: Exists}], priorityClassName: high, serviceAccountName: x}`},
		{"more time", `terminationGracePeriodSeconds: 120`},
		{"a field of a later Kubernetes", `{notInventedYet: {a: [1]}, containers: [{name: node, alsoNew: true}]}`},
		{"another probe", `containers: [{name: node, readinessProbe: {periodSeconds: 1}}]`},
	} {
		merged, refused := mergeTemplate(withPodSpec(t, c.spec))
		if refused != nil {
			t.Errorf("%s: %v", c.name, refused)
			continue
		}
		if !slices.ContainsFunc(merged.read.Spec.Containers, isNode) {
			t.Errorf("%s: there is no node", c.name)
		}
	}
}

func TestWhatThisBuildDoesNotKnowReachesTheServer(t *testing.T) {
	merged, refused := mergeTemplate(withPodSpec(t, `{notInventedYet: {a: [1]}, containers: [{name: node, alsoNew: true}]}`))
	if refused != nil {
		t.Fatal(refused)
	}
	spec, _ := merged.given["spec"].(map[string]any)
	containers, _ := spec["containers"].([]any)
	node, _ := containers[0].(map[string]any)
	if spec["notInventedYet"] == nil || node["alsoNew"] != true || node["image"] != "gridmesh/node:v1" {
		t.Errorf("given %v", merged.given)
	}
}

func TestVolumesThatAreRefused(t *testing.T) {
	for volume, want := range map[string]string{
		`null`:                             "is empty",
		`{}`:                               "the one source of a volume and nothing else",
		`{name: x, emptyDir: {}}`:          "the one source of a volume and nothing else",
		`{emptyDir: {}, secret: {}}`:       "the one source of a volume and nothing else",
		`{csl: {driver: x}}`:               `unknown field "csl"`,
		`{csi: {drver: x}}`:                `unknown field "drver"`,
		`{csi: {driver: 7}}`:               "is no volume source",
		`{projected: {sources: [{x: 1}]}}`: `unknown field "x"`,
	} {
		g := gridOf(t, "tls: {mode: volume, identity: pod, volume: "+volume+"}")
		if volume == "null" {
			g.Spec.TLS.Volume = nil
		}
		if _, refused := mergeTemplate(g); refused == nil || refused.reason != reasonVolumeRefused || !strings.Contains(refused.message, want) {
			t.Errorf("%s: %v, want %q", volume, refused, want)
		}
	}
}
