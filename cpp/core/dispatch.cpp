#include "core/dispatch.hpp"

#include <atomic>
#include <cstdlib>
#include <stdexcept>

namespace atomprint {

namespace {

std::vector<const Kernels*> available() {
    std::vector<const Kernels*> sets;
#ifdef ATOMPRINT_HAVE_v2
    __builtin_cpu_init();
    sets.push_back(&v2::kernels);
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2"))
        sets.push_back(&avx2::kernels);
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512cd"))
        sets.push_back(&avx512::kernels);
#else
    sets.push_back(&baseline::kernels);
#endif
    return sets;
}

const Kernels* find(const std::string& name) {
    std::string names;
    for (const Kernels* set : available()) {
        if (name == set->instruction_set)
            return set;
        names += std::string(names.empty() ? "" : ", ") + set->instruction_set;
    }
    throw std::invalid_argument("instruction set must be one of " + names + " on this machine, got '" + name + "'");
}

std::atomic<const Kernels*>& current() {
    static std::atomic<const Kernels*> kernels = [] {
        const char* forced = std::getenv("ATOMPRINT_ISA");
        return forced && *forced ? find(forced) : available().back();
    }();
    return kernels;
}

} // namespace

std::vector<std::string> instruction_sets() {
    std::vector<std::string> names;
    for (const Kernels* set : available())
        names.emplace_back(set->instruction_set);
    return names;
}

const Kernels& kernels() {
    return *current().load(std::memory_order_relaxed);
}

void use_instruction_set(const std::string& name) {
    current().store(find(name), std::memory_order_relaxed);
}

} // namespace atomprint
