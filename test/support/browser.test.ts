import { createServer } from 'node:http'
import { once } from 'node:events'
import t from 'tap'
import { findBarriers, NO_BROWSER, openBrowser, openPage } from './browser.ts'

const POLICY = "default-src 'none'; script-src 'self'; require-trusted-types-for 'script'"
const shell = (body: string) =>
  `<!doctype html><html lang="en"><title>x</title><main><h1>x</h1>${body}</main></html>`
const PAGES: Readonly<Record<string, string>> = {
  '/good': shell('<label>Name <input></label>'),
  '/inline': shell('<script>document.title = 1</script>'),
  '/image': shell('<img alt="x" src="https://elsewhere.example/x.png">'),
  '/throws': shell('<script src="/throws.js"></script>'),
  '/throws.js': "document.body.innerHTML = '<p>x'",
  '/unlabelled': shell('<input>')
}

t.test('a page is watched, by its policy and for people', { skip: NO_BROWSER }, async t => {
  const server = createServer((request, response) => {
    const { url = '' } = request
    response.writeHead(PAGES[url] === undefined ? 404 : 200, {
      'content-type': url.endsWith('.js') ? 'text/javascript' : 'text/html',
      'content-security-policy': POLICY
    })
    response.end(PAGES[url])
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  t.teardown(() => server.close())
  const address = server.address()
  const port = typeof address === 'object' ? address?.port : 0
  const browser = await openBrowser(t)
  const visit = async (path: string) => {
    const watched = await openPage(browser)
    await watched.page.goto(`http://127.0.0.1:${port}${path}`)
    const barriers = await findBarriers(watched.page)
    await watched.context.close()
    return { complaints: watched.complaints.join('\n'), barriers, sent: watched.sent }
  }
  const good = await visit('/good')
  t.match(good, { complaints: /^$/, barriers: [], sent: [{ method: 'GET' }] })
  t.equal(good.barriers.length, 0)
  t.match((await visit('/inline')).complaints, /refused by the policy: script-src-elem inline/)
  t.match((await visit('/image')).complaints, /refused by the policy: img-src/)
  t.match((await visit('/throws')).complaints, /thrown: .*TrustedHTML/)
  t.match((await visit('/unlabelled')).barriers.join('\n'), /^label \| <input>/)
})
