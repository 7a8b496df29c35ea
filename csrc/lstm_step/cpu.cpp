// The LSTM step on the CPU: one pass over the rows, forward and backward.
#include "lstm_step/lstm_step.h"

#include <algorithm>
#include <vector>

#include "common/pool.h"
#include "common/row_sums.h"
#include "lstm_step/lstm_step_math.h"

namespace {

// Outputs may be the inputs themselves: no iteration reads what another one writes.

template <typename REAL>
BH_HD void sigmoids(REAL* gate, const REAL* a, const REAL* b, long n) {
    BH_IVDEP
    for (long j = 0; j < n; ++j) gate[j] = bh_sigmoid(a[j] + b[j]);  // SIMD [lstm_step.1]
}

template <typename REAL>
BH_HD void tanhs(REAL* gate, const REAL* a, const REAL* b, long n) {
    BH_IVDEP
    for (long j = 0; j < n; ++j) gate[j] = bh_tanh(a[j] + b[j]);  // SIMD
}

// Short loops over a row that stays in cache: one over everything has too much to hold in registers.
template <typename REAL>
BH_HD void forward_body(REAL* h, REAL* c, REAL* gates, const REAL* a, const REAL* b,
                        const REAL* c_prev, long H) {
    sigmoids(gates, a, b, 2 * H);
    tanhs(gates + 2 * H, a + 2 * H, b + 2 * H, H);
    sigmoids(gates + 3 * H, a + 3 * H, b + 3 * H, H);
    BH_IVDEP
    for (long j = 0; j < H; ++j) {  // SIMD
        const LstmGates<REAL> s{gates[j], gates[H + j], gates[2 * H + j], gates[3 * H + j]};
        c[j] = lstm_step_cell(s, c_prev[j]);
        h[j] = lstm_step_hidden(s, c[j]);
    }
}

template <bool BIAS, typename REAL>
BH_HD void backward_body(REAL* da, REAL* dc_prev, REAL* db, const REAL* dh, const REAL* dc,
                         const REAL* gates, const REAL* c_prev, const REAL* c, long H) {
    BH_IVDEP
    for (long j = 0; j < H; ++j) {  // SIMD
        const LstmGates<REAL> s{gates[j], gates[H + j], gates[2 * H + j], gates[3 * H + j]};
        REAL d_cell_prev;
        const LstmGates<REAL> d = lstm_step_gradient(&d_cell_prev, dh[j], dc[j], s, c_prev[j], c[j]);
        dc_prev[j] = d_cell_prev;
        da[j] = d.i;
        da[H + j] = d.f;
        da[2 * H + j] = d.g;
        da[3 * H + j] = d.o;
        if constexpr (BIAS) {
            db[j] += d.i;  // [lstm_step.10]
            db[H + j] += d.f;
            db[2 * H + j] += d.g;
            db[3 * H + j] += d.o;
        }
    }
}

#define BH_ROWS(REAL)                                                                            \
    BH_CLONES void forward_row(REAL* h, REAL* c, REAL* gates, const REAL* a, const REAL* b,      \
                               const REAL* c_prev, long H) {                                     \
        forward_body(h, c, gates, a, b, c_prev, H);                                              \
    }                                                                                            \
    BH_CLONES void backward_row(REAL* da, REAL* dc_prev, REAL* db, const REAL* dh,               \
                                const REAL* dc, const REAL* gates, const REAL* c_prev,           \
                                const REAL* c, long H) {                                         \
        if (db != nullptr)                                                                       \
            backward_body<true>(da, dc_prev, db, dh, dc, gates, c_prev, c, H);                   \
        else                                                                                     \
            backward_body<false>(da, dc_prev, db, dh, dc, gates, c_prev, c, H);                  \
    }
BH_ROWS(float)
BH_ROWS(double)

// Nanoseconds for one unit of one row on one core, as the pool wants to know them.
constexpr double FORWARD_NS = 3.0, BACKWARD_NS = 1.6;

}  // namespace

template <typename REAL>
void lstm_step_forward(REAL* h, REAL* c, REAL* gates, const REAL* a, const REAL* c_prev,
                       const REAL* b, const REAL* h_prev, const bool* mask, REAL forget_bias,
                       long rows, long H) {
    std::vector<REAL> bias(4 * H, REAL(0));
    if (b != nullptr) std::copy(b, b + 4 * H, bias.begin());
    for (long j = H; j < 2 * H; ++j) bias[j] += forget_bias;
    bh_parallel(bh_split(rows, FORWARD_NS * double(H)), [&](long begin, long end, int) {
        for (long r = begin; r < end; ++r) {
            const long at = r * H;
            if (mask == nullptr || mask[r]) {
                forward_row(h + at, c + at, gates + 4 * at, a + 4 * at, bias.data(), c_prev + at, H);
                continue;
            }
            std::copy(h_prev + at, h_prev + at + H, h + at);  // [lstm_step.5]
            std::copy(c_prev + at, c_prev + at + H, c + at);
            std::fill(gates + 4 * at, gates + 4 * (at + H), REAL(0));
        }
    });
}

template <typename REAL>
void lstm_step_backward(REAL* da, REAL* dc_prev, REAL* db, REAL* dh_prev, const REAL* dh,
                        const REAL* dc, const REAL* gates, const REAL* c_prev, const REAL* c,
                        const bool* mask, long rows, long H) {
    const BhSplit split = bh_split(rows, BACKWARD_NS * double(H));
    const long sum_cols = db == nullptr ? 0 : 4 * H;
    std::vector<std::vector<double>> sums(split.chunks, std::vector<double>(sum_cols, 0.0));
    bh_parallel(split, [&](long begin, long end, int chunk) {
        BhRowSums<REAL> rows_of_db(sum_cols);
        for (long r = begin; r < end; ++r) {
            const long at = r * H;
            if (mask == nullptr || mask[r]) {
                backward_row(da + 4 * at, dc_prev + at, db ? rows_of_db.row() : nullptr, dh + at,
                             dc + at, gates + 4 * at, c_prev + at, c + at, H);
                if (mask != nullptr) std::fill(dh_prev + at, dh_prev + at + H, REAL(0));
                continue;
            }
            std::fill(da + 4 * at, da + 4 * (at + H), REAL(0));  // [lstm_step.11]
            if (dc_prev != dc) std::copy(dc + at, dc + at + H, dc_prev + at);
            if (dh_prev != dh) std::copy(dh + at, dh + at + H, dh_prev + at);
        }
        if (db) rows_of_db.add_to(sums[chunk].data());
    });
    if (db == nullptr) return;
    for (long j = 0; j < 4 * H; ++j) {
        double total = 0.0;
        for (const auto& chunk : sums) total += chunk[j];
        db[j] = REAL(total);
    }
}

#define BH_INSTANCE(REAL)                                                                         \
    template void lstm_step_forward<REAL>(REAL*, REAL*, REAL*, const REAL*, const REAL*,          \
                                          const REAL*, const REAL*, const bool*, REAL, long,      \
                                          long);                                                  \
    template void lstm_step_backward<REAL>(REAL*, REAL*, REAL*, REAL*, const REAL*, const REAL*,  \
                                           const REAL*, const REAL*, const REAL*, const bool*,    \
                                           long, long);
BH_INSTANCE(float)
BH_INSTANCE(double)
