package plan

import "github.com/ncfleet/ncfleet/inventory"

// leastAhead is the smallest number of targets that may be prepared online at
// once, however few may be out of service: preparing costs bandwidth, no user.
const leastAhead = 8

// maxUnavailable turns the amount into a count of targets: a percentage is
// rounded down, and it is at least 1, or nothing would ever move.
func maxUnavailable(a inventory.Amount, targets int) int { return max(1, count(a, targets)) }

// failureBudget turns the amount into a count of targets: a percentage is
// rounded down and 0 is allowed.
func failureBudget(a inventory.Amount, targets int) int { return max(0, count(a, targets)) }

// count is the amount of a whole, a percentage rounded down, and never more
// than the whole. A hair is added before rounding so that 29% of 100 is 29.
func count(a inventory.Amount, whole int) int {
	if !a.IsPercent {
		return min(a.Count, whole)
	}
	return min(int(a.Percent*float64(whole)/100+1e-9), whole)
}

// aheadOf is how many targets may run online steps at once.
func aheadOf(unavailable int) int { return max(unavailable, leastAhead) }
