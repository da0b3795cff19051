// go run sign.go POST /api/scans/trigger/prod '{"ref":"main"}'
package main

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

func main() {
	token, method, body := os.Getenv("CONTROLINFRA_TOKEN"), os.Args[1], strings.Join(os.Args[3:], "")
	request, err := http.NewRequest(method, os.Getenv("GATE_URL")+os.Args[2], strings.NewReader(body))
	if err != nil {
		log.Fatal(err)
	}

	random := make([]byte, 16)
	rand.Read(random)
	nonce := hex.EncodeToString(random)                        // new for every attempt
	timestamp := strconv.FormatInt(time.Now().UnixMilli(), 10) // milliseconds
	path := request.URL.RequestURI()                           // exactly what goes on the request line
	bodyHash := sha256.Sum256([]byte(body))                    // of the bytes that are sent
	mac := hmac.New(sha256.New, []byte(token))
	fmt.Fprintf(mac, "%s:%s:%s:%s:%x", timestamp, nonce, method, path, bodyHash)

	request.Header.Set("Authorization", "Bearer "+token)
	request.Header.Set("x-cli-signature", hex.EncodeToString(mac.Sum(nil)))
	request.Header.Set("x-cli-timestamp", timestamp)
	request.Header.Set("x-cli-nonce", nonce)
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		log.Fatal(err)
	}
	text, _ := io.ReadAll(answer.Body)
	fmt.Println(answer.StatusCode, string(text))
}
