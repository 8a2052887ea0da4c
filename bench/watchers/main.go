// watchers holds many watches on the ConfigMaps of one namespace open, changes ConfigMaps at a steady rate, and says how
// long the changes take to each of the watches, from the sending of the change to the reading of its event.
package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

var (
	server      = flag.String("server", "https://127.0.0.1:6443", "API server")
	token       = flag.String("token", "", "bearer token")
	watchers    = flag.Int("watchers", 1000, "watches")
	connections = flag.Int("connections", 20, "connections that they share")
	rate        = flag.Int("rate", 500, "changes a second")
	seconds     = flag.Int("seconds", 10, "how long")
	objects     = flag.Int("objects", 50, "ConfigMaps that are changed in turn")
)

func client() *http.Client {
	return &http.Client{Transport: &http.Transport{
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true},
		ForceAttemptHTTP2: true,
	}}
}

func request(c *http.Client, method, path, kind, body string) (*http.Response, error) {
	r, err := http.NewRequest(method, *server+path, bytes.NewReader([]byte(body)))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Authorization", "Bearer "+*token)
	if kind != "" {
		r.Header.Set("Content-Type", kind)
	}
	return c.Do(r)
}

func must(c *http.Client, code int, method, path, kind, body string) {
	r, err := request(c, method, path, kind, body)
	if err != nil {
		fmt.Println(method, path, err)
		os.Exit(1)
	}
	b, _ := io.ReadAll(r.Body)
	r.Body.Close()
	if r.StatusCode != code {
		fmt.Printf("%s %s: %d %.200s\n", method, path, r.StatusCode, b)
		os.Exit(1)
	}
}

// Latencies in tenths of a millisecond; the last one is for those that took longer.
const buckets = 20001

func main() {
	flag.Parse()
	writer := client()
	ns := fmt.Sprintf("watchers-%d", time.Now().UnixNano()%1000000)
	must(writer, 201, "POST", "/api/v1/namespaces", "application/json", `{"metadata":{"name":"`+ns+`"}}`)
	base := "/api/v1/namespaces/" + ns + "/configmaps"
	for i := 0; i < *objects; i++ {
		must(writer, 201, "POST", base, "application/json", fmt.Sprintf(`{"metadata":{"name":"w-%d"},"data":{"sent":"0"}}`, i))
	}
	clients := make([]*http.Client, *connections)
	for i := range clients {
		clients[i] = client()
	}
	counts := make([][]int32, *watchers)
	var seen int64
	var open sync.WaitGroup
	for w := 0; w < *watchers; w++ {
		open.Add(1)
		counts[w] = make([]int32, buckets)
		go watch(clients[w%*connections], base, counts[w], &seen, &open)
	}
	open.Wait()
	fmt.Printf("%d watches on %d connections\n", *watchers, *connections)

	total := *rate * *seconds
	start := time.Now()
	var next int64 = -1
	var done sync.WaitGroup
	for w := 0; w < 16; w++ {
		done.Add(1)
		go func() {
			defer done.Done()
			for {
				i := int(atomic.AddInt64(&next, 1))
				if i >= total {
					return
				}
				time.Sleep(time.Until(start.Add(time.Duration(i) * time.Second / time.Duration(*rate))))
				body := `{"data":{"sent":"` + strconv.FormatInt(time.Now().UnixNano(), 10) + `"}}`
				must(writer, 200, "PATCH", base+"/w-"+strconv.Itoa(i%*objects), "application/merge-patch+json", body)
			}
		}()
	}
	done.Wait()
	written := time.Since(start)
	wanted := int64(total) * int64(*watchers)
	for end := time.Now().Add(20 * time.Second); atomic.LoadInt64(&seen) < wanted && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond)
	}
	sum := make([]int64, buckets)
	var all int64
	for _, each := range counts {
		for b, c := range each {
			sum[b] += int64(c)
			all += int64(c)
		}
	}
	quantile := func(q float64) float64 {
		var passed int64
		for b, c := range sum {
			passed += c
			if float64(passed) >= q*float64(all) {
				return float64(b) / 10
			}
		}
		return 0
	}
	fmt.Printf("changes %.0f/s, delivered %d of %d (%.0f/s): p50=%.1fms p99=%.1fms max=%.1fms\n",
		float64(total)/written.Seconds(), all, wanted, float64(all)/written.Seconds(), quantile(.5), quantile(.99), quantile(1))
	must(writer, 200, "DELETE", "/api/v1/namespaces/"+ns, "", "")
}

func watch(c *http.Client, base string, counts []int32, seen *int64, open *sync.WaitGroup) {
	r, err := request(c, "GET", base+"?watch=1&resourceVersion=0", "", "")
	if err != nil || r.StatusCode != 200 {
		fmt.Println("watch:", err, r)
		os.Exit(1)
	}
	defer r.Body.Close()
	lines := bufio.NewReaderSize(r.Body, 64<<10)
	mark := []byte(`"sent":"`)
	for initial := *objects; ; {
		line, err := lines.ReadSlice('\n')
		if err != nil {
			fmt.Println("a watch ended:", err)
			return
		}
		at := bytes.Index(line, mark)
		if at < 0 {
			continue
		}
		rest := line[at+len(mark):]
		sent, _ := strconv.ParseInt(string(rest[:bytes.IndexByte(rest, '"')]), 10, 64)
		if sent == 0 {
			if initial--; initial == 0 {
				open.Done()
			}
			continue
		}
		tenths := (time.Now().UnixNano() - sent) / 100000
		if tenths >= buckets {
			tenths = buckets - 1
		}
		counts[tenths]++
		atomic.AddInt64(seen, 1)
	}
}
