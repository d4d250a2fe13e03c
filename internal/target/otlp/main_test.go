package otlp

import (
	"testing"

	"go.opentelemetry.io/otel"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	otel.SetErrorHandler(&errorHandler)
	goleak.VerifyTestMain(m)
}
