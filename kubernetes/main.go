// Command kube is every Kubernetes program of a node in one binary.
//
// The program is chosen by the name that the binary is called by, so that a
// link named kubectl is kubectl, and otherwise by the first argument:
//
//	kube kubelet --config=…
//
// One binary instead of six shares the 90 % of code that all of them link.
//
// What a component is given anew while it runs it takes within ten seconds;
// upstream's programs look at their files once a minute, and at a client's
// certificate every five.
package main

import (
	goflag "flag"
	"fmt"
	"math/rand"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"k8s.io/apiserver/pkg/server/dynamiccertificates"
	_ "k8s.io/client-go/plugin/pkg/client/auth" // kubectl: client auth plugins
	"k8s.io/client-go/transport"
	cliflag "k8s.io/component-base/cli/flag"
	"k8s.io/component-base/logs"
	_ "k8s.io/component-base/metrics/prometheus/clientgo" // client-go metrics
	_ "k8s.io/component-base/metrics/prometheus/version"  // version metric
	"k8s.io/klog/v2"
	kubectl "k8s.io/kubectl/pkg/cmd"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	proxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"
)

// rereadEvery is how often changed files with certificates are looked for, by
// servers and by clients. Hamlet counts on it where it finds usage in a binary
// (src/provision/own-binaries.ts).
const rereadEvery = 10 * time.Second

const usage = `usage: kube PROGRAM [ARGUMENTS]
PROGRAM is one of: %s
Each takes a certificate that has changed within ten seconds.
`

type program struct {
	name    string
	command func() *cobra.Command
}

// In the order in which they are listed to a person.
var programs = []program{
	{"kube-apiserver", func() *cobra.Command { return apiserver.NewAPIServerCommand() }},
	{"kube-controller-manager", func() *cobra.Command { return controllermanager.NewControllerManagerCommand() }},
	{"kube-scheduler", func() *cobra.Command {
		pflag.CommandLine.SetNormalizeFunc(cliflag.WordSepNormalizeFunc)
		return scheduler.NewSchedulerCommand()
	}},
	{"kube-proxy", func() *cobra.Command {
		command := proxy.NewProxyCommand()
		onlyLogFlags()
		pflag.CommandLine.SetNormalizeFunc(cliflag.WordSepNormalizeFunc)
		pflag.CommandLine.AddGoFlagSet(goflag.CommandLine)
		return command
	}},
	{"kubelet", func() *cobra.Command { return kubelet.NewKubeletCommand() }},
	{"kubectl", func() *cobra.Command {
		onlyLogFlags()
		pflag.CommandLine = pflag.NewFlagSet("kubectl", pflag.ExitOnError)
		pflag.CommandLine.SetNormalizeFunc(cliflag.WordSepNormalizeFunc)
		return kubectl.NewDefaultKubectlCommand()
	}},
}

// onlyLogFlags takes away the global flags of the other programs (cAdvisor
// alone brings forty), which this one would otherwise show and accept.
func onlyLogFlags() {
	goflag.CommandLine = goflag.NewFlagSet(os.Args[0], goflag.ExitOnError)
	klog.InitFlags(goflag.CommandLine)
}

// choose gives the program to run and its argument list, its name first.
func choose(args []string) (*program, []string) {
	for skip := 0; skip < 2 && skip < len(args); skip++ {
		name := filepath.Base(args[skip])
		for i := range programs {
			if programs[i].name == name {
				return &programs[i], append([]string{name}, args[skip+1:]...)
			}
		}
	}
	return nil, nil
}

func main() {
	chosen, args := choose(os.Args)
	if chosen == nil {
		names := make([]string, 0, len(programs))
		for _, p := range programs {
			names = append(names, p.name)
		}
		fmt.Fprintf(os.Stderr, usage, strings.Join(names, ", "))
		os.Exit(2)
	}
	os.Args = args
	rand.Seed(time.Now().UnixNano())
	dynamiccertificates.FileRefreshDuration = rereadEvery
	transport.CertCallbackRefreshDuration = rereadEvery

	command := chosen.command()
	logs.InitLogs()
	err := command.Execute()
	logs.FlushLogs()
	if err != nil {
		os.Exit(1)
	}
}
