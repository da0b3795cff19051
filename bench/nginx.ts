/** nginx as the upstream, as a plain proxy, and with a hand-written gate in Lua. */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort } from '../test/support/gate.ts'
import { hasProgram, launch, listens, type Pinned } from './processes.ts'

const MODULES = '/usr/lib/nginx/modules'
const LUA_LIBRARIES = '/usr/share/lua/5.1'

export interface Nginx extends AsyncDisposable {
  readonly port: number
  readonly pid: number
}

export const hasNginx = (): boolean => hasProgram('nginx')
export const hasLua = (): boolean =>
  hasNginx() &&
  existsSync(join(MODULES, 'ngx_http_lua_module.so')) &&
  existsSync(join(LUA_LIBRARIES, 'resty/lrucache.lua')) &&
  existsSync(join(LUA_LIBRARIES, 'nginx/redis.lua'))

export interface NginxConfig {
  readonly core: number
  readonly withLua?: boolean
  /** Inside `http { … }`. */
  readonly http?: string
  /** Inside its one `server { … }`. */
  readonly server: string
}

/** One process, no access log. */
export async function startNginx({
  core,
  withLua,
  http = '',
  server
}: NginxConfig): Promise<Nginx> {
  const folder = mkdtempSync(join(tmpdir(), 'tollgate-nginx-'))
  const port = await freePort()
  const modules = withLua
    ? ['ndk_http_module.so', 'ngx_http_lua_module.so'].map(
        name => `load_module ${join(MODULES, name)};`
      )
    : []
  const paths = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    name => `${name}_temp_path ${folder}/${name};`
  )
  const config = `${modules.join('\n')}
daemon off; master_process off; pid ${folder}/pid; error_log stderr crit;
events { worker_connections 4096; }
http {
  ${paths.join('\n  ')}
  access_log off; keepalive_requests 1000000000; keepalive_timeout 75s; client_max_body_size 0;
  ${withLua ? `lua_package_path "${LUA_LIBRARIES}/?.lua;${join(import.meta.dirname, 'references')}/?.lua;;";` : ''}
  ${http}
  server { listen 127.0.0.1:${port}; ${server} }
}
`
  const file = join(folder, 'nginx.conf')
  writeFileSync(file, config)
  const pinned: Pinned = launch(['nginx', '-p', folder, '-c', file], { core })
  await listens(port)
  return {
    port,
    pid: pinned.pid,
    async [Symbol.asyncDispose]() {
      await pinned[Symbol.asyncDispose]()
      rmSync(folder, { recursive: true, force: true })
    }
  }
}

/** What a proxy in nginx says of its upstream. */
export function proxyTo(upstreamPort: number): Pick<NginxConfig, 'http'> {
  const pool = 'keepalive 64; keepalive_requests 1000000000;'
  return { http: `upstream service { server 127.0.0.1:${upstreamPort}; ${pool} }` }
}

export const PASS =
  'proxy_pass http://service; proxy_http_version 1.1; proxy_set_header Connection "";'
