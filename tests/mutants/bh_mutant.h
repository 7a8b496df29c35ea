// One build has every mutant of an op in it; BH_MUTANT in the environment names the one that is
// on.  `BhMutants<28>{} ->* x` is x, or -x when mutant 7 is on: `->*` binds tighter than `*` and
// `/`, and its right side is one operand.  What is no float or vector of floats (sizes, pointers)
// passes through, and its mutant is not listed.
#pragma once

#include <cstdlib>
#include <type_traits>

enum BhMutation { NEGATED, TERM_DROPPED, DOUBLED, FACTOR_DROPPED };

inline int bh_count = 0;
inline int bh_ids[100000];  // of the mutants of a float
inline const int bh_on = std::getenv("BH_MUTANT") ? std::atoi(std::getenv("BH_MUTANT")) : 0;

template <int ID>
struct BhListed {
    static inline const bool done = (bh_ids[bh_count++] = ID, true);
};

// The mutants of one operand: 4 * number + BhMutation of each.
template <int... CODES>
struct BhMutants {};

// The vectors of g++ (common/lanes.h) are none of all that a trait can name.
template <typename T>
constexpr bool BH_NUMBERS = std::is_floating_point_v<T> ||
    !(std::is_arithmetic_v<T> || std::is_class_v<T> || std::is_union_v<T> || std::is_enum_v<T> ||
      std::is_pointer_v<T> || std::is_member_pointer_v<T> || std::is_null_pointer_v<T> ||
      std::is_void_v<T> || std::is_array_v<T> || std::is_function_v<T>);

template <int CODE, typename Value>
inline Value bh_mutated(Value x) {
    constexpr int HOW = CODE % 4;
    if (!BhListed<CODE / 4>::done || bh_on != CODE / 4) return x;
    if (HOW == NEGATED) return -x;
    if (HOW == DOUBLED) return x + x;
    return HOW == TERM_DROPPED ? Value{} : Value{} + 1;
}

template <int... CODES, typename T>
inline decltype(auto) operator->*(BhMutants<CODES...>, T&& x) {
    using Value = std::decay_t<T>;
    if constexpr (BH_NUMBERS<Value>) {
        Value y = x;
        ((y = bh_mutated<CODES>(y)), ...);
        return y;
    } else {
        return static_cast<T&&>(x);
    }
}
