//go:build linux

package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"time"
)

// lifetime of all that is issued here: longer than any run of tests.
const lifetime = 30 * 24 * time.Hour

// authority issues certificates into the folder of the place. The first
// failure stays in err, and nothing happens after it.
type authority struct {
	place place
	name  string
	cert  *x509.Certificate
	key   *ecdsa.PrivateKey
	err   *error
}

// subject is whom a certificate is for; sans are host names and addresses.
type subject struct {
	file, user, group string
	sans              []string
}

// writePKI makes all keys, certificates and kubeconfigs of a cluster.
func writePKI(p place) error {
	var err error
	ca := newAuthority(p, "ca", &err)
	frontProxy := newAuthority(p, "front-proxy-ca", &err)
	serviceAccountKeys(p, &err)

	ca.issue(subject{file: "apiserver", user: "kube-apiserver", sans: []string{
		"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local",
		"localhost", "127.0.0.1", nodeAddress, apiService,
	}})
	ca.issue(subject{file: "kubelet-server", user: nodeName, sans: []string{nodeName, "localhost", "127.0.0.1", nodeAddress}})
	ca.issue(subject{file: "kubelet-client", user: "kube-apiserver-kubelet-client", group: "system:masters"})
	frontProxy.issue(subject{file: "front-proxy-client", user: "front-proxy-client"})
	for _, s := range []subject{
		{file: "admin", user: "admin", group: "system:masters"},
		{file: "controllers", user: "system:kube-controller-manager"},
		{file: "scheduler", user: "system:kube-scheduler"},
		{file: "proxy", user: "system:kube-proxy"},
		{file: "kubelet", user: "system:node:" + nodeName, group: "system:nodes"},
	} {
		ca.issue(s)
		ca.kubeconfig(s.file)
	}
	return err
}

func newAuthority(p place, name string, err *error) *authority {
	a := &authority{place: p, name: name, err: err}
	if *err != nil {
		return a
	}
	if a.key, *err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); *err != nil {
		return a
	}
	template := x509.Certificate{
		Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature,
	}
	a.cert = &template // its own issuer
	a.cert = a.sign(name, template, a.key)
	return a
}

func (a *authority) issue(s subject) {
	if *a.err != nil {
		return
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		*a.err = err
		return
	}
	template := x509.Certificate{
		Subject:     pkix.Name{CommonName: s.user},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if s.group != "" {
		template.Subject.Organization = []string{s.group}
	}
	for _, san := range s.sans {
		if ip := net.ParseIP(san); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, san)
		}
	}
	a.sign(s.file, template, key)
}

// sign completes the template, signs it and writes it beside its key.
func (a *authority) sign(file string, template x509.Certificate, key *ecdsa.PrivateKey) *x509.Certificate {
	fail := func(err error) *x509.Certificate {
		*a.err = fmt.Errorf("certificate %s: %w", file, err)
		return nil
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return fail(err)
	}
	template.SerialNumber = serial
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(lifetime)
	der, err := x509.CreateCertificate(rand.Reader, &template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		return fail(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return fail(err)
	}
	writePEM(a.place.PKI(file+".crt"), "CERTIFICATE", der, a.err)
	writeKey(a.place.PKI(file+".key"), key, a.err)
	return cert
}

// serviceAccountKeys writes the pair that service account tokens are signed with.
func serviceAccountKeys(p place, err *error) {
	if *err != nil {
		return
	}
	key, failed := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if failed != nil {
		*err = failed
		return
	}
	public, failed := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if failed != nil {
		*err = failed
		return
	}
	writeKey(p.PKI("sa.key"), key, err)
	writePEM(p.PKI("sa.pub"), "PUBLIC KEY", public, err)
}

// kubeconfig writes NAME.kubeconfig around the certificate NAME.
func (a *authority) kubeconfig(name string) {
	var encoded []any
	for _, file := range []string{a.name + ".crt", name + ".crt", name + ".key"} {
		data, err := os.ReadFile(a.place.PKI(file))
		if err != nil && *a.err == nil {
			*a.err = err
		}
		encoded = append(encoded, base64.StdEncoding.EncodeToString(data))
	}
	if *a.err != nil {
		return
	}
	text := fmt.Sprintf(`apiVersion: v1
kind: Config
current-context: gridmesh-e2e
contexts: [{name: gridmesh-e2e, context: {cluster: gridmesh-e2e, user: %s}}]
clusters: [{name: gridmesh-e2e, cluster: {server: "%s", certificate-authority-data: %s}}]
users: [{name: %s, user: {client-certificate-data: %s, client-key-data: %s}}]
`, append([]any{name, apiURL, encoded[0], name}, encoded[1:]...)...)
	*a.err = os.WriteFile(a.place.PKI(name+".kubeconfig"), []byte(text), 0o600)
}

func writeKey(file string, key *ecdsa.PrivateKey, err *error) {
	if *err != nil {
		return
	}
	der, failed := x509.MarshalECPrivateKey(key)
	if failed != nil {
		*err = failed
		return
	}
	writePEM(file, "EC PRIVATE KEY", der, err)
}

func writePEM(file, kind string, der []byte, err *error) {
	if *err == nil {
		*err = os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600)
	}
}
