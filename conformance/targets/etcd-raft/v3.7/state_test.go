package main

import (
	"reflect"
	"slices"
	"testing"

	"lockstep/targets/etcd-raft/core"
)

// Each field that is no part of the name of a state is one that the library has. A name that it has no more hides nothing today, and
// might hide something else tomorrow.
func TestFieldsLeftOutOfTheStateExist(t *testing.T) {
	names, seen := []string{}, map[reflect.Type]bool{}
	var look func(reflect.Type)
	look = func(kind reflect.Type) {
		if seen[kind] {
			return
		}
		seen[kind] = true
		switch kind.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map:
			look(kind.Elem())
		case reflect.Struct:
			for i := range kind.NumField() {
				field := kind.Field(i)
				names = append(names, field.Name, field.Type.Name())
				look(field.Type)
			}
		}
	}
	look(reflect.TypeFor[node]())
	look(reflect.TypeFor[storage]())
	for _, name := range core.UnreadFields() {
		if !slices.Contains(names, name) {
			t.Errorf("the library has no %s", name)
		}
	}
}
