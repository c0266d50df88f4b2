import './app.css';

import { mount } from 'svelte';

import App from './App.svelte';
import { look } from './theme.svelte';

look.apply();

const target = document.getElementById('app');
if (target) mount(App, { target });
