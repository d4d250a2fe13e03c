package controllers

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// podReady reports whether Kubernetes sends traffic to the pod.
func podReady(p *corev1.Pod) bool {
	if p.DeletionTimestamp != nil {
		return false
	}
	for i := range p.Status.Conditions {
		if c := &p.Status.Conditions[i]; c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// podTrouble says why the pod does not run, in the words of whoever knows: the
// scheduler, the kubelet, or the last words of the program. "" if nothing is
// wrong, or nothing is known yet.
func podTrouble(p *corev1.Pod) string {
	for i := range p.Status.Conditions {
		if c := &p.Status.Conditions[i]; c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse {
			return clip(c.Reason + ": " + c.Message)
		}
	}
	for _, statuses := range [][]corev1.ContainerStatus{p.Status.InitContainerStatuses, p.Status.ContainerStatuses} {
		for i := range statuses {
			c := &statuses[i]
			waiting := c.State.Waiting
			switch {
			case c.State.Terminated != nil && c.State.Terminated.ExitCode != 0:
				return clip(c.Name + " has ended: " + lastWords(c.State.Terminated))
			case waiting == nil, waiting.Reason == "ContainerCreating", waiting.Reason == "PodInitializing", waiting.Reason == "":
			case waiting.Reason == "CrashLoopBackOff" && c.LastTerminationState.Terminated != nil:
				return clip(waiting.Reason + ": " + c.Name + ": " + lastWords(c.LastTerminationState.Terminated))
			default:
				return clip(waiting.Reason + ": " + waiting.Message)
			}
		}
	}
	if p.Status.Phase == corev1.PodFailed {
		return clip(p.Status.Reason + ": " + p.Status.Message)
	}
	return ""
}

// lastWords is the last line that a container has left.
func lastWords(t *corev1.ContainerStateTerminated) string {
	text := strings.TrimSpace(t.Message)
	if at := strings.LastIndexByte(text, '\n'); at >= 0 {
		text = strings.TrimSpace(text[at+1:])
	}
	if text == "" {
		return t.Reason
	}
	return text
}

const maxMessage = 256 // bytes of a member's message, as the API allows

// clip cuts a text to what a status holds, at a whole letter.
func clip(text string) string {
	text = strings.ToValidUTF8(strings.TrimSuffix(strings.TrimSpace(text), ":"), "")
	if len(text) <= maxMessage {
		return text
	}
	return strings.ToValidUTF8(text[:maxMessage-3], "") + "…"
}
