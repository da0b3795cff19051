/** The token page: a client of the token API and of nothing else. */
import { allowedRules } from './allowed-rules.js'

document.body.dataset['ready'] = typeof allowedRules
