/** What the demo upstream lists: a small installation of infrastructure repositories. */

export interface Sample {
  /** The repository it belongs to: a caller who may not see that one does not see the sample. */
  readonly repositoryConfigId: string
  readonly [member: string]: unknown
}

const SHOP = { repositoryConfigId: 'shop-production', repository: { fullName: 'acme/shop' } }
const NETWORK = { repositoryConfigId: 'network-core', repository: { fullName: 'acme/network' } }
const DATA = { repositoryConfigId: 'data-platform', repository: { fullName: 'acme/data' } }

export const REPOSITORIES: readonly Sample[] = [
  { _id: 'shop-production', branch: 'main', provider: 'aws', status: 'active', ...SHOP },
  { _id: 'network-core', branch: 'main', provider: 'aws', status: 'active', ...NETWORK },
  { _id: 'data-platform', branch: 'release', provider: 'gcp', status: 'paused', ...DATA }
]

export const SCANS: readonly Sample[] = [
  { _id: 'scan-1043', status: 'completed', drifts: 2, startedAt: '2026-11-02T06:00:00Z', ...SHOP },
  {
    _id: 'scan-1042',
    status: 'completed',
    drifts: 1,
    startedAt: '2026-11-02T05:30:00Z',
    ...NETWORK
  },
  { _id: 'scan-1041', status: 'failed', drifts: 0, startedAt: '2026-11-01T22:15:00Z', ...DATA }
]

export const DRIFTS: readonly Sample[] = [
  {
    _id: 'drift-311',
    status: 'detected',
    severity: 'high',
    resource: 'aws_security_group.checkout',
    change: 'ingress 0.0.0.0/0 on port 5432 was added by hand',
    ...SHOP
  },
  {
    _id: 'drift-310',
    status: 'detected',
    severity: 'low',
    resource: 'aws_s3_bucket.receipts',
    change: 'tag "owner" was removed',
    ...SHOP
  },
  {
    _id: 'drift-309',
    status: 'resolved',
    severity: 'medium',
    resource: 'aws_route_table.private',
    change: 'a route to 10.8.0.0/16 was changed',
    ...NETWORK
  }
]

export const RUNNERS: readonly Sample[] = [
  { _id: 'runner-a', name: 'eu-west-1a', status: 'online', labels: ['terraform'], ...SHOP },
  { _id: 'runner-b', name: 'eu-west-1b', status: 'offline', labels: ['terraform'], ...NETWORK }
]
