// Nodes that run nothing: they take the Pods that the scheduler gives them, and say of each that it runs and then that it has
// ended, as a kubelet would, and serve the log that its program would have written at the kubelet's own address.
//
// A Pod's program is its command: `fake SECONDS LINES` takes so long and prints so many lines on the way, each `step=N x=VALUE`
// with the value of the last argument, which is what a trial's parameter is given as. `fake forever` never ends by itself.
//
// When each began and ended is written to the report, a JSON object a line.
package main

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

var (
	kubeconfig = flag.String("kubeconfig", "", "an administrator's, as JSON, with certificates in it")
	address    = flag.String("address", "", "where the API server reaches us for logs")
	count      = flag.Int("nodes", 20, "how many nodes")
	capacity   = flag.Int("pods", 110, "Pods that fit on a node")
	reportPath = flag.String("report", "", "file for when each Pod began and ended")
)

const (
	label     = "katib.test/fake"
	heartbeat = 5 * time.Second
)

type object = map[string]any

type pod struct {
	Metadata struct {
		Name              string  `json:"name"`
		Namespace         string  `json:"namespace"`
		UID               string  `json:"uid"`
		DeletionTimestamp *string `json:"deletionTimestamp"`
	} `json:"metadata"`
	Spec struct {
		NodeName              string `json:"nodeName"`
		ActiveDeadlineSeconds *int64 `json:"activeDeadlineSeconds"`
		Containers            []struct {
			Name    string   `json:"name"`
			Image   string   `json:"image"`
			Command []string `json:"command"`
			Args    []string `json:"args"`
		} `json:"containers"`
	} `json:"spec"`
	Status struct {
		Phase string `json:"phase"`
	} `json:"status"`
}

// What a Pod prints, and who waits for more of it.
type output struct {
	lock    sync.Mutex
	lines   []line
	over    bool
	changed chan struct{}
}

type line struct {
	at   time.Time
	text string
}

func (o *output) add(text string) {
	o.lock.Lock()
	o.lines = append(o.lines, line{time.Now(), text})
	close(o.changed)
	o.changed = make(chan struct{})
	o.lock.Unlock()
}

func (o *output) end() {
	o.lock.Lock()
	o.over = true
	close(o.changed)
	o.changed = make(chan struct{})
	o.lock.Unlock()
}

func (o *output) from(at int) ([]line, bool, chan struct{}) {
	o.lock.Lock()
	defer o.lock.Unlock()
	return o.lines[at:], o.over, o.changed
}

type running struct {
	output *output
	stop   chan string // why it is ended before its time
	once   sync.Once
}

type nodes struct {
	server string
	client *http.Client
	port   int
	lock   sync.Mutex
	pods   map[string]*running // by uid, for as long as the Pod is there
	names  map[string]*running // by namespace/name
	report *bufio.Writer
}

func main() {
	flag.Parse()
	log.SetFlags(log.Ltime | log.Lmicroseconds)
	n := &nodes{pods: map[string]*running{}, names: map[string]*running{}}
	n.server, n.client = access()
	file, err := os.Create(*reportPath)
	if err != nil {
		log.Fatal(err)
	}
	n.report = bufio.NewWriter(file)
	n.serve()
	for i := range *count {
		n.register(name(i))
	}
	go n.beat()
	go n.watch()
	fmt.Println("ready")
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGTERM, syscall.SIGINT)
	<-asked
}

func name(i int) string { return fmt.Sprintf("fake-%d", i+1) }

// The API server, and a client that it knows as an administrator.
func access() (string, *http.Client) {
	data, err := os.ReadFile(*kubeconfig)
	if err != nil {
		log.Fatal(err)
	}
	var config struct {
		Clusters []struct {
			Cluster struct {
				Server    string `json:"server"`
				Authority []byte `json:"certificate-authority-data"`
			} `json:"cluster"`
		} `json:"clusters"`
		Users []struct {
			User struct {
				Certificate []byte `json:"client-certificate-data"`
				Key         []byte `json:"client-key-data"`
			} `json:"user"`
		} `json:"users"`
	}
	if err := json.Unmarshal(data, &config); err != nil {
		log.Fatal(err)
	}
	user, cluster := config.Users[0].User, config.Clusters[0].Cluster
	pair, err := tls.X509KeyPair(user.Certificate, user.Key)
	if err != nil {
		log.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(cluster.Authority)
	return cluster.Server, &http.Client{Transport: &http.Transport{
		TLSClientConfig:   &tls.Config{Certificates: []tls.Certificate{pair}, RootCAs: pool},
		ForceAttemptHTTP2: true,
	}}
}

// Requests

func (n *nodes) call(method, path, kind string, body any, into any) (int, error) {
	data, err := json.Marshal(body)
	if err != nil {
		return 0, err
	}
	request, err := http.NewRequest(method, n.server+path, bytes.NewReader(data))
	if err != nil {
		return 0, err
	}
	request.Header.Set("Content-Type", kind)
	answer, err := n.client.Do(request)
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	said, err := io.ReadAll(answer.Body)
	if err != nil {
		return answer.StatusCode, err
	}
	if answer.StatusCode >= 300 {
		return answer.StatusCode, fmt.Errorf("%s %s: %s", method, path, said)
	}
	if into != nil {
		return answer.StatusCode, json.Unmarshal(said, into)
	}
	return answer.StatusCode, nil
}

// Until it gets through: a kubelet does not give up either.
func (n *nodes) insist(method, path, kind string, body any) {
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, 5*time.Second) {
		status, err := n.call(method, path, kind, body, nil)
		if err == nil || status == http.StatusNotFound || status == http.StatusConflict {
			return
		}
		log.Print(err)
		time.Sleep(pause)
	}
}

// Nodes

func (n *nodes) register(name string) {
	room := object{"cpu": "64", "memory": "256Gi", "pods": strconv.Itoa(*capacity)}
	conditions := []object{}
	for kind, status := range map[string]string{
		"Ready": "True", "MemoryPressure": "False", "DiskPressure": "False", "PIDPressure": "False",
	} {
		conditions = append(conditions, object{
			"type": kind, "status": status, "reason": "Fake", "message": "there is no machine",
			"lastHeartbeatTime": stamp(time.Now()), "lastTransitionTime": stamp(time.Now()),
		})
	}
	node := object{
		"apiVersion": "v1", "kind": "Node",
		"metadata": object{"name": name, "labels": object{
			label: "true", "kubernetes.io/hostname": name, "kubernetes.io/os": "linux",
		}},
		// Nothing but what asks for it, so that no other Pod of the cluster comes here.
		"spec": object{"taints": []object{{"key": label, "effect": "NoSchedule"}}},
		"status": object{
			"capacity": room, "allocatable": room, "conditions": conditions,
			"addresses":       []object{{"type": "InternalIP", "address": *address}, {"type": "Hostname", "address": name}},
			"daemonEndpoints": object{"kubeletEndpoint": object{"Port": n.port}},
			"nodeInfo": object{
				"kubeletVersion": "fake", "containerRuntimeVersion": "fake://1", "operatingSystem": "linux",
				"architecture": "amd64", "machineID": name, "systemUUID": name, "bootID": name,
				"kernelVersion": "", "osImage": "", "kubeProxyVersion": "",
			},
		},
	}
	if _, err := n.call("POST", "/api/v1/nodes", "application/json", node, nil); err != nil {
		log.Fatal(err)
	}
	n.insist("POST", "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases", "application/json", object{
		"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
		"metadata": object{"name": name, "namespace": "kube-node-lease"},
		"spec":     object{"holderIdentity": name, "leaseDurationSeconds": 40, "renewTime": micro(time.Now())},
	})
}

func (n *nodes) beat() {
	for range time.Tick(heartbeat) {
		for i := range *count {
			path := "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/" + name(i)
			change := object{"spec": object{"renewTime": micro(time.Now())}}
			if _, err := n.call("PATCH", path, "application/merge-patch+json", change, nil); err != nil {
				log.Print(err)
			}
		}
	}
}

// Pods

func (n *nodes) watch() {
	for {
		if err := n.follow(); err != nil {
			log.Print(err)
		}
		time.Sleep(200 * time.Millisecond)
	}
}

func (n *nodes) follow() error {
	answer, err := n.client.Get(n.server + "/api/v1/pods?watch=1&resourceVersion=0&fieldSelector=spec.nodeName!%3D")
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	decoder := json.NewDecoder(bufio.NewReaderSize(answer.Body, 1<<16))
	for {
		var event struct {
			Type   string
			Object pod
		}
		if err := decoder.Decode(&event); err != nil {
			return err
		}
		if strings.HasPrefix(event.Object.Spec.NodeName, "fake-") {
			n.take(event.Type, event.Object)
		}
	}
}

func (n *nodes) take(kind string, p pod) {
	n.lock.Lock()
	defer n.lock.Unlock()
	uid, named := p.Metadata.UID, p.Metadata.Namespace+"/"+p.Metadata.Name
	known := n.pods[uid]
	switch {
	case kind == "DELETED":
		delete(n.pods, uid)
		if n.names[named] == known {
			delete(n.names, named)
		}
		if known != nil {
			known.end("deleted")
		}
	case known == nil && (p.Status.Phase == "Pending" || p.Status.Phase == ""):
		known = &running{output: &output{changed: make(chan struct{})}, stop: make(chan string, 1)}
		n.pods[uid], n.names[named] = known, known
		go n.run(p, known)
	case known != nil && p.Metadata.DeletionTimestamp != nil:
		known.end("deleted")
	case known != nil && p.Spec.ActiveDeadlineSeconds != nil && *p.Spec.ActiveDeadlineSeconds <= 1:
		known.end("DeadlineExceeded")
	}
}

func (r *running) end(why string) { r.once.Do(func() { r.stop <- why }) }

func (n *nodes) run(p pod, r *running) {
	container := p.Spec.Containers[0]
	words := append(append([]string{}, container.Command...), container.Args...)
	value := words[len(words)-1]
	if _, after, found := strings.Cut(value, "="); found {
		value = after
	}
	began := time.Now()
	path := "/api/v1/namespaces/" + p.Metadata.Namespace + "/pods/" + p.Metadata.Name
	n.say(path, p, began, object{"running": object{"startedAt": stamp(began)}}, "Running", "")
	var seconds float64
	var lines int
	if words[1] == "forever" {
		seconds, lines = 1e6, 1
		r.output.add("step=1 x=" + value)
	} else {
		seconds, _ = strconv.ParseFloat(words[1], 64)
		lines, _ = strconv.Atoi(words[2])
	}
	why := ""
	step := time.Duration(seconds * float64(time.Second) / float64(max(lines, 1)))
	for i := 1; i <= lines && why == ""; i++ {
		select {
		case why = <-r.stop:
		case <-time.After(step):
			r.output.add(fmt.Sprintf("step=%d x=%s", i, value))
		}
	}
	r.output.end()
	ended := time.Now()
	switch why {
	case "":
		n.say(path, p, began, terminated(began, ended, 0, "Completed"), "Succeeded", "")
	case "deleted":
		n.insist("DELETE", path, "application/json", object{
			"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0,
			"preconditions": object{"uid": p.Metadata.UID},
		})
	default:
		n.say(path, p, began, terminated(began, ended, 143, "Error"), "Failed", why)
	}
	n.lock.Lock()
	defer n.lock.Unlock()
	// When the end was sent, and when the API server had it.
	fmt.Fprintf(n.report, "{\"name\":%q,\"began\":%d,\"ended\":%d,\"told\":%d,\"why\":%q}\n",
		p.Metadata.Name, began.UnixNano(), ended.UnixNano(), time.Now().UnixNano(), why)
	if err := n.report.Flush(); err != nil {
		log.Fatal(err)
	}
}

func terminated(began, ended time.Time, code int, reason string) object {
	return object{"terminated": object{
		"exitCode": code, "reason": reason, "startedAt": stamp(began), "finishedAt": stamp(ended),
	}}
}

func (n *nodes) say(path string, p pod, began time.Time, state object, phase, reason string) {
	container := p.Spec.Containers[0]
	now := "False"
	if phase == "Running" {
		now = "True"
	}
	conditions := []object{}
	for _, kind := range []string{"PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"} {
		status := now
		if kind == "Initialized" || kind == "PodScheduled" {
			status = "True"
		}
		conditions = append(conditions, object{"type": kind, "status": status, "lastTransitionTime": stamp(time.Now())})
	}
	status := object{
		"phase": phase, "startTime": stamp(began), "hostIP": *address, "conditions": conditions,
		"containerStatuses": []object{{
			"name": container.Name, "image": container.Image, "imageID": "", "containerID": "fake://" + p.Metadata.UID,
			"ready": phase == "Running", "started": phase == "Running", "restartCount": 0, "state": state,
		}},
	}
	if reason != "" {
		status["reason"] = reason
	}
	change := object{"metadata": object{"uid": p.Metadata.UID}, "status": status}
	n.insist("PATCH", path+"/status", "application/merge-patch+json", change)
}

func stamp(at time.Time) string { return at.UTC().Format(time.RFC3339) }
func micro(at time.Time) string { return at.UTC().Format("2006-01-02T15:04:05.000000Z") }

// The kubelet's logs

func (n *nodes) serve() {
	listener, err := tls.Listen("tcp", net.JoinHostPort(*address, "0"), &tls.Config{
		Certificates: []tls.Certificate{own()}, NextProtos: []string{"h2", "http/1.1"},
	})
	if err != nil {
		log.Fatal(err)
	}
	n.port = listener.Addr().(*net.TCPAddr).Port
	mux := http.NewServeMux()
	mux.HandleFunc("GET /containerLogs/{namespace}/{pod}/{container}", n.log)
	go func() { log.Fatal(http.Serve(listener, mux)) }()
}

func own() tls.Certificate {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	made := x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(24 * time.Hour), IPAddresses: []net.IP{net.ParseIP(*address)},
	}
	der, err := x509.CreateCertificate(rand.Reader, &made, &made, &private.PublicKey, private)
	if err != nil {
		log.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: private}
}

func (n *nodes) log(w http.ResponseWriter, request *http.Request) {
	n.lock.Lock()
	found := n.names[request.PathValue("namespace")+"/"+request.PathValue("pod")]
	n.lock.Unlock()
	if found == nil {
		http.Error(w, "no such container", http.StatusNotFound)
		return
	}
	query := request.URL.Query()
	since, _ := time.Parse(time.RFC3339, query.Get("sinceTime"))
	follow, stamps := query.Get("follow") == "true", query.Get("timestamps") == "true"
	controller := http.NewResponseController(w)
	w.WriteHeader(http.StatusOK)
	for at := 0; ; {
		lines, over, changed := found.output.from(at)
		at += len(lines)
		for _, one := range lines {
			if one.at.Before(since) {
				continue
			}
			if stamps {
				fmt.Fprint(w, one.at.UTC().Format(time.RFC3339Nano), " ")
			}
			fmt.Fprintln(w, one.text)
		}
		if controller.Flush() != nil || over || !follow {
			return
		}
		select {
		case <-changed:
		case <-request.Context().Done():
			return
		}
	}
}
