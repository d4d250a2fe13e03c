package main

import (
	"context"
	"strings"
	"testing"
)

func TestChildMeasures(t *testing.T) {
	p := &plan{watch: short}
	c, err := pickCases("single/64")
	if err != nil {
		t.Fatal(err)
	}
	values, _, err := p.inChild(t.Context(), c[0], tcpFloor{})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range c[0].Metrics {
		if _, ok := values[m.Name]; !ok {
			t.Errorf("the child measured no %s", m.Name)
		}
	}
}

func TestChildSaysWhyItFailed(t *testing.T) {
	p := &plan{watch: short}
	_, _, err := p.inChild(t.Context(), Case{Group: "no", Variant: "such"}, tcpFloor{})
	if err == nil || !strings.Contains(err.Error(), "no such case") {
		t.Errorf("error = %v, want what the child said", err)
	}
}

func TestChildEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	p := &plan{watch: short}
	c, err := pickCases("single/64")
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := p.inChild(ctx, c[0], tcpFloor{}); err == nil {
		t.Error("a child ran although the context had ended")
	}
}
