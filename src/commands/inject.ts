/**
 * `tollgate inject`: the gate as a native sidecar into manifests, for those who do not use the chart.
 * The rules are in src/inject/; here are the options, the file and the exit code.
 */
import { readFileSync } from 'node:fs'
import { type Command, InvalidArgumentError, Option } from 'commander'
import { inject } from '../inject/inject.ts'
import { CommandExit, type CommandIo } from './output.ts'
import { readVersion } from './version.ts'

interface Options {
  readonly file: string
  readonly image: string
  readonly appContainer?: string
  readonly appPort?: number
  readonly routesConfigmap: string
  readonly secrets: SecretNames
  readonly service?: string
  readonly exposure: 'refuse' | 'warn'
  readonly check?: true
}

interface SecretNames {
  readonly database: string
  readonly redis: string
  readonly jwt: string | undefined
}

const SECRETS: SecretNames = { database: 'tollgate', redis: 'tollgate', jwt: 'tollgate' }
/** RFC 1123, as Kubernetes takes it for names of ConfigMaps, Secrets and Services. */
const NAME = /^[a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?$/

export function registerInject(program: Command, io: CommandIo): void {
  program
    .command('inject')
    .description('put the gate into manifests as a native sidecar; the result goes to stdout')
    .requiredOption('-f, --file <file>', 'manifests: YAML or JSON; - reads standard input')
    .option('--image <image>', "the gate's image", `tollgate:${readVersion()}`)
    .option('--app-container <name>', 'which container is the app; else the only one', parseName)
    .option('--app-port <port>', 'where it listens; else the only containerPort', parsePort)
    .option(
      '--routes-configmap <name>',
      'ConfigMap with the key routes.yaml',
      parseName,
      'tollgate-routes'
    )
    .option(
      '--secrets <names>',
      'Secrets with DATABASE_URL, REDIS_URL, JWT_SECRET, comma-separated; the third may be empty',
      parseSecrets,
      SECRETS
    )
    .option(
      '--service <name>',
      'turn this Service alone; else each that selects the pod',
      parseName
    )
    .addOption(
      new Option('--exposure <word>', 'what the gate does when the app answers past it')
        .choices(['refuse', 'warn'])
        .default('refuse')
    )
    .option('--check', 'change nothing; exit code 1 if the result would differ')
    .action((options: Options) => run(io, options))
}

function run(io: CommandIo, options: Options): void {
  const { file, check } = options
  const text = read(file)
  const injected = inject(text, {
    ...options,
    file: file === '-' ? 'stdin' : file,
    appContainer: options.appContainer,
    appPort: options.appPort,
    service: options.service,
    routesConfigMap: options.routesConfigmap
  })
  if ('problems' in injected) throw new CommandExit(1, injected.problems.join('\n'))
  for (const warning of injected.warnings) io.err(`${warning}\n`)
  if (injected.pods === 0) io.err('Nothing here runs pods that stay: nothing is to be changed.\n')
  if (!check) io.out(injected.text)
  else if (injected.text !== text) {
    throw new CommandExit(1, `${file}: the gate is missing or of another version: run inject`)
  }
}

function read(file: string): string {
  try {
    return readFileSync(file === '-' ? 0 : file, 'utf8')
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : 'unreadable'
    throw new CommandExit(2, `${file} cannot be read (${code})`, cause)
  }
}

function parseName(given: string): string {
  if (NAME.test(given)) return given
  throw new InvalidArgumentError('It must be a name as Kubernetes takes it.')
}

function parsePort(given: string): number {
  const port = Number(given)
  if (/^\d{1,5}$/.test(given) && port >= 1 && port <= 65_535) return port
  throw new InvalidArgumentError('It must be a port, 1 to 65535.')
}

function parseSecrets(given: string): SecretNames {
  const [database, redis, jwt, ...more] = given.split(',')
  if (database && redis && more.length === 0) {
    return {
      database: parseName(database),
      redis: parseName(redis),
      jwt: jwt ? parseName(jwt) : undefined
    }
  }
  throw new InvalidArgumentError('They must be two or three names: DATABASE,REDIS,JWT.')
}
