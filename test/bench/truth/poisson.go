package truth

import (
	"math"
	"math/rand/v2"
)

// poisson draws how many events come where mean are expected. Small means are drawn by multiplying uniform numbers until their product is below exp(-mean); others
// by transformed rejection (W. Hörmann, "The transformed rejection method for generating Poisson random variables", 1993, algorithm PTRS), which is exact too.
func poisson(rng *rand.Rand, mean float64) float64 {
	if mean <= 0 {
		return 0
	}
	if mean < 10 {
		least, n := math.Exp(-mean), 0.0
		for product := rng.Float64(); product > least; product *= rng.Float64() {
			n++
		}
		return n
	}
	b := 0.931 + 2.53*math.Sqrt(mean)
	a := -0.059 + 0.02483*b
	inverseAlpha := 1.1239 + 1.1328/(b-3.4)
	squeeze := 0.9277 - 3.6224/(b-2)
	log := math.Log(mean)
	for {
		u, v := rng.Float64()-0.5, rng.Float64()
		us := 0.5 - math.Abs(u)
		k := math.Floor((2*a/us+b)*u + mean + 0.43)
		if us >= 0.07 && v <= squeeze {
			return k
		}
		if k < 0 || us < 0.013 && v > us {
			continue
		}
		factorial, _ := math.Lgamma(k + 1)
		if math.Log(v)+math.Log(inverseAlpha)-math.Log(a/(us*us)+b) <= k*log-mean-factorial {
			return k
		}
	}
}
